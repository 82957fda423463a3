// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"errors"
	"time"
)

// Look is what a Source is asked for.
type Look struct {
	CPU   int
	After time.Duration // for how long to sleep first
	Work  bool          // take its rate, too
}

// Sample is what one look at a CPU found.
type Sample struct {
	Rate float64       // work done in a second of CPU time, in a unit that is the same for all CPUs; 0: not taken
	Late time.Duration // for how long it was not there when the thread woke up; -1: not known
	Cost time.Duration // CPU time that the look took
}

// Source looks at CPUs from one thread, which it moves from CPU to CPU. Where there is
// a PMU, one that reads cycles and instructions can take the place of the built-in one.
type Source interface {
	// Sample looks at a CPU. Its thread calls it, and no other.
	Sample(l Look) (Sample, error)
	// Free has a call of Sample end soon that waits for its turn on a CPU.
	Free()
	// Stop has the call under way end at once, and all others with ErrStopped.
	Stop()
	// Close gives back what the source holds, and its thread the mask it had.
	Close() error
}

// What Sample may return beside the errors of system calls.
var (
	ErrNoCPU   = errors.New("the CPU is offline, or not allowed")
	ErrStopped = errors.New("the source was stopped")
	errMoved   = errors.New("the thread was taken off the CPU")
)
