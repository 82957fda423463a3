// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mllb/topology"
)

// Sampler measures what the scheduler does to one workload at a time. Only one
// goroutine may use it.
type Sampler struct {
	follow  follower
	missing []string // whatever is measured
	running bool
	before  counters
	start   time.Time
}

// follower measures one process tree: eBPF, or what /proc shows.
type follower interface {
	start(o Options) error
	stop(s *Sample) error // fills what it measures
	close() error
}

// Open loads the eBPF programs, once for any number of runs. The error says
// which capability or feature of the kernel is missing; OpenProc needs none.
func Open(log *slog.Logger) (*Sampler, error) {
	t, err := openTree(log)
	if err != nil {
		return nil, fmt.Errorf("measure by eBPF: %w", err)
	}
	return &Sampler{follow: t}, nil
}

// OpenProc is the fallback without eBPF: see Sample.By and Sample.Missing.
func OpenProc(*slog.Logger) (*Sampler, error) {
	p, err := openPoll("/")
	if err != nil {
		return nil, fmt.Errorf("measure by /proc: %w", err)
	}
	return &Sampler{follow: p, missing: p.missing()}, nil
}

// errRunning and errIdle are a caller's mistakes.
var (
	errRunning = errors.New("it is under way already")
	errIdle    = errors.New("none is under way")
)

// Start begins a measurement, before the workload runs anything: what Root used
// before is not counted.
func (s *Sampler) Start(o Options) error {
	if err := s.begin(o); err != nil {
		return fmt.Errorf("start measuring process %d: %w", o.Root, err)
	}
	return nil
}

// minInterval bounds what sampling may cost.
const minInterval = time.Millisecond

func (s *Sampler) begin(o Options) (err error) {
	switch {
	case s.running:
		return errRunning
	case o.Root <= 0:
		return errors.New("there is no such process")
	case o.Interval == 0:
		o.Interval = DefaultInterval
	case o.Interval < minInterval:
		return fmt.Errorf("interval %v is below %v", o.Interval, minInterval)
	}
	if o.Topology == nil {
		if o.Topology, err = topology.Read("/"); err != nil {
			return err
		}
	}
	if err := s.follow.start(o); err != nil {
		return err
	}
	if s.before, err = readCounters("/"); err != nil {
		return errors.Join(err, s.follow.stop(new(Sample)))
	}
	s.running, s.start = true, time.Now()
	return nil
}

// Stop ends the measurement, after the workload ended; what of the tree is still
// there counts up to now.
func (s *Sampler) Stop() (*Sample, error) {
	if !s.running {
		return nil, fmt.Errorf("stop measuring: %w", errIdle)
	}
	s.running = false
	m := &Sample{Wall: time.Since(s.start), Missing: append([]string(nil), s.missing...)}
	after, err := readCounters("/")
	if err = errors.Join(s.follow.stop(m), err); err != nil {
		return nil, fmt.Errorf("stop measuring: %w", err)
	}
	m.host(s.before, after)
	return m, nil
}

// Close gives everything back. A measurement under way is lost.
func (s *Sampler) Close() error {
	s.running = false
	if s.follow == nil {
		return nil
	}
	err := s.follow.close()
	s.follow = nil
	return err
}

// host fills what is of the whole machine.
func (m *Sample) host(before, after counters) {
	m.Load = after.load
	m.Idle = time.Duration(after.idle-before.idle) * tick
	m.Steal = time.Duration(after.steal-before.steal) * tick
	if m.HasNUMA = after.numa; m.HasNUMA {
		m.HintFaults = after.hintFaults - before.hintFaults
		m.HintFaultsLocal = after.hintFaultsLocal - before.hintFaultsLocal
		m.PagesMigrated = after.pagesMigrated - before.pagesMigrated
	} else {
		m.Missing = append(m.Missing, "NUMA hint faults and migrated pages: the kernel has no NUMA balancing")
	}
}
