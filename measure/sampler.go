// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"log/slog"
)

// Sampler measures what the scheduler does to one workload while it runs.
type Sampler struct{ log *slog.Logger }

// Open loads the eBPF programs, once for any number of runs. The error says
// which capability or feature of the kernel is missing; OpenProc needs none.
func Open(log *slog.Logger) (*Sampler, error) { return nil, errors.ErrUnsupported }

// OpenProc is the fallback without eBPF: see Sample.By and Sample.Missing.
func OpenProc(log *slog.Logger) (*Sampler, error) { return nil, errors.ErrUnsupported }

// Start begins a measurement, before the workload runs anything.
func (s *Sampler) Start(o Options) error { return errors.ErrUnsupported }

// Stop ends it, after the workload ended.
func (s *Sampler) Stop() (*Sample, error) { return nil, errors.ErrUnsupported }

// Close gives everything back.
func (s *Sampler) Close() error { return nil }
