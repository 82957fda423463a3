// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// load is what a benchmark's snapshot holds.
type load struct {
	topo             string
	runnable, asleep int
	piled            bool // the runnable threads are all on the first node
}

// random fills s with threads all over a machine, those that sleep among those
// that run. All that are runnable are held where they are.
func (l load) random(topo *topology.Topology, s *features.Snapshot) {
	rng := rand.New(rand.NewPCG(1, 1))
	s.Time, s.MigrationCost = 1e12, 500_000
	s.Runqueues = make([]features.Runqueue, len(topo.CPUs))
	all := s.Mask(topo.Online)
	running := make([]bool, len(topo.CPUs))
	for i := range s.Runqueues {
		s.Runqueues[i].Online = true
	}
	for i := range l.runnable + l.asleep {
		cpu := rng.IntN(len(topo.CPUs))
		t := features.Thread{
			ID: features.ID{TID: int32(i + 1)}, State: 'S', Allowed: all, Owner: all, Managed: true,
			Delta: rng.Int64N(1e8), PreferredNode: features.NoNode, Faults: -1, Hold: -1,
		}
		if i*l.runnable/(l.runnable+l.asleep) < (i+1)*l.runnable/(l.runnable+l.asleep) {
			if l.piled {
				cpu %= topo.Nodes[0].CPUs.Count()
			}
			t.State, t.Runnable, t.Hold = 'R', 1024, int32(cpu)
			t.Running, running[cpu] = !running[cpu], true
			s.Runqueues[cpu].NrRunning++
			s.Runqueues[cpu].NrQueued++
		}
		t.CPU = int32(cpu)
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

var loads = []load{
	{"2x14x2", 56, 0, false},
	{"2x14x2", 500, 0, false},
	{"2x14x2", 500, 500, false},
	{"8x64x2", 100_000, 0, false},
	{"8x64x2", 100_000, 0, true},
	{"8x64x2", 1000, 100_000, false},
	{"8x8x8x2", 100_000, 0, false},
	{"8x8x8x2", 100_000, 0, true},
	{"8x8x8x2", 1000, 100_000, false},
}

func (l load) String() string {
	name := fmt.Sprintf("%s/%d+%d", l.topo, l.runnable, l.asleep)
	if l.piled {
		name += "/piled"
	}
	return name
}

// threadTime is the CPU time of this OS thread, ns: the plan runs on one, and
// what else the machine does is no part of it.
func threadTime(b *testing.B) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// BenchmarkPlan plans over and over for a host that is out of balance, so that
// each plan is full to the budget, and for one at rest. The threads are so many
// runnable + so many asleep.
func BenchmarkPlan(b *testing.B) {
	for _, l := range loads {
		b.Run(l.String(), func(b *testing.B) {
			topo := machine(b, l.topo)
			var s features.Snapshot
			l.random(topo, &s)
			bal := scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, scheduler.CFS{})
			run := func(b *testing.B) {
				b.ReportAllocs()
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				bal.Plan(&s) // the first allocates
				start := threadTime(b)
				for b.Loop() {
					bal.Plan(&s)
				}
				b.ReportMetric(float64(threadTime(b)-start)/float64(b.N), "ns/op")
				b.ReportMetric(float64(len(bal.Plan(&s).Holds)), "holds/op")
			}
			b.Run("busy", run)
			balanced(bal, &s)
			b.Run("rest", run)
		})
	}
}

func TestPlanDoesNotAllocate(t *testing.T) {
	topo := machine(t, "2x14x2")
	var s features.Snapshot
	load{runnable: 500, asleep: 500}.random(topo, &s)
	for _, mode := range []scheduler.Mode{scheduler.Assist, scheduler.Own} {
		b := scheduler.NewBalancer(topo, scheduler.Config{Mode: mode}, scheduler.CFS{})
		if n := testing.AllocsPerRun(20, func() { b.Plan(&s) }); n > 0 {
			t.Errorf("mode %d: a plan made %v allocations", mode, n)
		}
	}
}
