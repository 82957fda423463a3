// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"slices"
	"testing"
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

var (
	_ scheduler.Host     = (*sim.Host)(nil)
	_ scheduler.Enforcer = (*sim.Host)(nil)
)

const tick = 100 * time.Millisecond

// rig is a simulated host with a balancer in charge of it.
type rig struct {
	host    *sim.Host
	b       *scheduler.Balancer
	cfg     scheduler.Config
	lease   time.Duration              // of what is held; 0: until released
	measure func(s *features.Snapshot) // writes the CPUs' speeds, or nil
	s       features.Snapshot
	plan    *scheduler.Plan
	errs    []error
}

func machine(t testing.TB, desc string) *topology.Topology {
	t.Helper()
	topo, err := topology.Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func newRig(opt sim.Options, cfg scheduler.Config, p scheduler.Policy) *rig {
	return &rig{host: sim.New(opt), cfg: cfg, b: scheduler.NewBalancer(opt.Topology, cfg, p)}
}

// look takes a snapshot and plans.
func (r *rig) look() *scheduler.Plan {
	must(r.host.Snapshot(&r.s))
	if r.measure != nil {
		r.measure(&r.s)
	}
	must(r.host.Sync(&r.s))
	r.plan = r.b.Plan(&r.s)
	return r.plan
}

// act carries the plan out, then lets dt pass.
func (r *rig) act(dt time.Duration) {
	r.errs = r.host.Apply(&r.s, r.plan.Holds, r.lease)
	r.host.Release(&r.s, r.plan.Releases)
	r.b.Commit(&r.s, r.plan, r.errs)
	r.host.Step(dt)
}

func (r *rig) tick(dt time.Duration) {
	r.look()
	r.act(dt)
}

// moves counts the holds of the plan that change a thread's CPU.
func (r *rig) moves() (n int) {
	for i := range r.plan.Candidates {
		if r.plan.Candidates[i].Hold >= 0 {
			n++
		}
	}
	return n
}

// lengths returns the queue length of each CPU now.
func (r *rig) lengths() []int {
	must(r.host.Snapshot(&r.s))
	n := make([]int, len(r.host.Topology().CPUs))
	for i := range r.s.Threads {
		if t := &r.s.Threads[i]; t.Queued() {
			n[t.CPU]++
		}
	}
	return n
}

func spread(lens []int) int { return slices.Max(lens) - slices.Min(lens) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
