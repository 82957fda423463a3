// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"math/rand/v2"
	"testing"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// random fills s with n threads all over a machine, half of them runnable.
func random(topo *topology.Topology, n int, s *features.Snapshot) {
	rng := rand.New(rand.NewPCG(1, 1))
	s.Time, s.MigrationCost = 1e12, 500_000
	s.Runqueues = make([]features.Runqueue, len(topo.CPUs))
	all := s.Mask(topo.Online)
	running := make([]bool, len(topo.CPUs))
	for i := range s.Runqueues {
		s.Runqueues[i].Online = true
	}
	for i := range n {
		cpu := rng.IntN(len(topo.CPUs))
		t := features.Thread{
			ID: features.ID{TID: int32(i + 1)}, CPU: int32(cpu), State: 'S', Allowed: all, Owner: all, Managed: true,
			Delta: rng.Int64N(1e8), PreferredNode: features.NoNode, Faults: -1, Hold: int32(cpu),
		}
		if i%2 == 0 {
			t.State, t.Runnable = 'R', 1024
			t.Running, running[cpu] = !running[cpu], true
			s.Runqueues[cpu].NrRunning++
			s.Runqueues[cpu].NrQueued++
		}
		s.Threads = append(s.Threads, t)
	}
}

// balanced carries plans out on the snapshot itself until there is nothing
// left to do.
func balanced(b *scheduler.Balancer, s *features.Snapshot) {
	for range 1000 {
		p := b.Plan(s)
		if len(p.Holds) == 0 {
			return
		}
		for _, h := range p.Holds {
			t := &s.Threads[h.Thread]
			t.CPU, t.Hold = h.CPU, h.CPU
		}
		b.Commit(s, p, nil)
		s.Time += 1e9
	}
}

var sizes = []struct {
	topo    string
	threads int
}{{"2x14x2", 1000}, {"8x64x2", 100_000}}

// BenchmarkPlan plans over and over for a host that is out of balance, so that
// each plan is full to the budget, and for one at rest.
func BenchmarkPlan(b *testing.B) {
	for _, size := range sizes {
		for _, policy := range []scheduler.Policy{scheduler.CFS{}} {
			topo := machine(b, size.topo)
			var s features.Snapshot
			random(topo, size.threads, &s)
			bal := scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldAll}, policy)
			run := func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bal.Plan(&s)
				}
				b.ReportMetric(float64(len(bal.Plan(&s).Holds)), "holds/op")
			}
			b.Run(size.topo+"/busy", run)
			balanced(bal, &s)
			b.Run(size.topo+"/rest", run)
		}
	}
}

func TestPlanDoesNotAllocate(t *testing.T) {
	topo := machine(t, "2x14x2")
	var s features.Snapshot
	random(topo, 1000, &s)
	for _, mode := range []scheduler.Mode{scheduler.Assist, scheduler.Own} {
		b := scheduler.NewBalancer(topo, scheduler.Config{Mode: mode}, scheduler.CFS{})
		if n := testing.AllocsPerRun(20, func() { b.Plan(&s) }); n > 0 {
			t.Errorf("mode %d: a plan made %v allocations", mode, n)
		}
	}
}
