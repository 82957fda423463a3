// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"mllb/features"
	"mllb/topology"
)

// script is a host, scope, planner, enforcer and observer in one, which notes
// what it is asked in order.
type script struct {
	calls    []string
	cpus     int
	fail     map[string]error // by call
	onPlan   func()
	plan     Plan
	holdErrs []error
	lease    time.Duration
	foreign  bool // Sync finds thread 1 foreign
	held     []int32
	released []int32
	ticks    []Tick
	managed  []bool
	commit   []error
	topology *topology.Topology
}

func (f *script) did(call string) error {
	f.calls = append(f.calls, call)
	return f.fail[call]
}

func (f *script) Snapshot(s *features.Snapshot) error {
	s.Reset()
	s.Runqueues = make([]features.Runqueue, 4)
	for i := range f.cpus {
		s.Runqueues[i].Online = true
	}
	s.Threads = append(s.Threads, make([]features.Thread, 3)...)
	for i := range s.Threads {
		s.Threads[i].Hold = -1
	}
	for _, i := range f.held {
		s.Threads[i].Hold = 0
	}
	return f.did("snapshot")
}

func (f *script) Sync(s *features.Snapshot) error {
	if f.foreign {
		s.Threads[1].Managed = false
	}
	return f.did("sync")
}

func (f *script) Mark(s *features.Snapshot) {
	s.Threads[2].Managed = false
	f.did("mark")
}

func (f *script) Plan(s *features.Snapshot) *Plan {
	f.did("plan")
	f.managed = nil
	for i := range s.Threads {
		f.managed = append(f.managed, s.Threads[i].Managed)
	}
	if f.onPlan != nil {
		f.onPlan()
	}
	return &f.plan
}

func (f *script) Apply(_ *features.Snapshot, holds []features.Hold, lease time.Duration) []error {
	f.did("apply")
	f.lease = lease
	for i, err := range f.holdErrs {
		if err == nil && !slices.Contains(f.held, holds[i].Thread) {
			f.held = append(f.held, holds[i].Thread)
		}
	}
	return f.holdErrs
}

func (f *script) Follow(*features.Snapshot) bool { return false }

func (f *script) Held() int { return len(f.held) }

func (f *script) Release(_ *features.Snapshot, threads []int32) []error {
	f.did("release")
	f.released = append(f.released, threads...)
	f.held = slices.DeleteFunc(f.held, func(i int32) bool { return slices.Contains(threads, i) })
	return make([]error, len(threads))
}

func (f *script) Commit(_ *features.Snapshot, _ *Plan, errs []error) {
	f.did("commit")
	f.commit = errs
}

func (f *script) SetTopology(t *topology.Topology) {
	f.did("topology")
	f.topology = t
}

func (f *script) Tick(t *Tick) {
	f.did("observe")
	f.ticks = append(f.ticks, *t)
}

func mustParse(t *testing.T, desc string) *topology.Topology {
	t.Helper()
	topo, err := topology.Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// daemon returns a daemon on f, whose machine has two CPUs.
func daemon(t *testing.T, f *script, mode Mode) *Daemon {
	f.cpus = 2
	d := &Daemon{
		Host: f, Scope: f, Planner: f, Observer: f,
		Interval: time.Millisecond, MaxFailures: 3,
		Topology: mustParse(t, "1x2x1"), Log: slog.New(slog.DiscardHandler),
	}
	if mode != Observe {
		d.Enforcer = f
	}
	if mode == Assist {
		d.Lease = time.Minute
	}
	return d
}
