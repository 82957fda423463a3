// SPDX-License-Identifier: Apache-2.0

package scheduler

import "mllb/features"

// Always moves every candidate: the majority answer, and the control that a
// learned policy has to beat.
type Always struct{}

// Name returns "always".
func (Always) Name() string { return "always" }

// Decide says migrate.
func (Always) Decide(*features.Decision) Verdict { return Verdict{Migrate: true} }

// Never moves nothing: the control that shows what balancing is worth.
type Never struct{}

// Name returns "never".
func (Never) Name() string { return "never" }

// Decide says stay.
func (Never) Decide(*features.Decision) Verdict { return Verdict{} }

// NoActive says that active balance is off as well. In the kernel no locality
// rule is asked about it; a control that keeps threads where they are must be.
func (Never) NoActive() bool { return true }

// activeForbidder is a policy that may forbid active balance, the one kind of move
// that no policy is asked about.
type activeForbidder interface{ NoActive() bool }
