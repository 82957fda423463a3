// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// TestComesToRest puts a steady load on a host: it stops moving, and where
// nothing forbids it and all threads weigh the same, it is even.
func TestComesToRest(t *testing.T) {
	ticks, quiet := 1000, 100
	if testing.Short() {
		ticks = 500
	}
	rapid.Check(t, func(t *rapid.T) {
		topo := drawMachine(t, 32)
		policy := rapid.SampledFrom([]scheduler.Policy{scheduler.CFS{}, scheduler.Always{}, scheduler.Never{}}).Draw(t, "policy")
		hold := scheduler.HoldPolicy(rapid.IntRange(0, 2).Draw(t, "hold"))
		r := newRig(sim.Options{
			Topology: topo, Seed: 1, Slice: tick, NUMABalancing: rapid.Bool().Draw(t, "numa"),
			MigrationCost: rapid.SampledFrom([]time.Duration{-1, 0, time.Millisecond}).Draw(t, "cost"),
		}, scheduler.Config{Mode: scheduler.Own, Hold: hold}, policy)
		r.measure = drawSpeeds(t, len(topo.CPUs), true)
		uniform := rapid.Bool().Draw(t, "uniform")
		steady(t, r.host, len(topo.CPUs), uniform)
		last, total := -1, 0
		for i := range ticks {
			r.tick(tick)
			if n := r.moves(); n > 0 {
				last, total = i, total+n
			}
			if i > last+4*quiet {
				break // every counter has run its course
			}
		}
		switch {
		case last >= ticks-quiet:
			t.Fatalf("still moving at tick %d, after %d moves; queues %v", last, total, r.lengths())
		case policy.Name() == "never" && total > 0:
			t.Fatalf("policy never moved %d threads", total)
		case policy.Name() != "never" && uniform && r.measure == nil:
			checkEven(t, r)
		}
		must(r.host.Check())
	})
}

// steady starts threads that never sleep.
func steady(t *rapid.T, h *sim.Host, cpus int, uniform bool) {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "threads"), 4))
	nice := int8(rng.IntN(40) - 20)
	for range rapid.IntRange(1, 4).Draw(t, "kinds") {
		spec := sim.Spec{CPU: rng.IntN(cpus), Nice: nice, Home: int32(rng.IntN(9) - 1)}
		if !uniform {
			spec.Nice = int8(rng.IntN(40) - 20)
			if rng.IntN(3) == 0 {
				spec.Owner = topology.NewCPUSet(spec.CPU, rng.IntN(cpus), rng.IntN(cpus))
			}
			spec.Narrowed = rng.IntN(5) == 0
		}
		h.Start(1+rng.IntN(2*cpus), spec)
	}
}

// checkEven checks that caches hold queues that differ by one at the most, and
// that between groups farther apart nothing is left that the margin calls for.
func checkEven(t *rapid.T, r *rig) {
	lens := r.lengths()
	for id, d := range r.b.Topology().Domains {
		var in []int
		for cpu := range d.CPUs.All() {
			in = append(in, lens[cpu])
		}
		if d.Level <= topology.LLC && spread(in) > 1 {
			t.Fatalf("queues of %v domain %v: %v", d.Level, d.CPUs, in)
		}
		for i, a := range d.Groups {
			for j, b := range d.Groups {
				x, y, n, m := sum(lens, a), sum(lens, b), a.Count(), b.Count()
				if d.Level > topology.LLC && 100*x*m > int(r.b.Margin(id, i, j))*y*n && (x-1)*m >= (y+1)*n && spread(in) > 1 {
					t.Fatalf("%v domain: %d threads on cpus %v, %d on %v", d.Level, x, a, y, b)
				}
			}
		}
	}
}

func sum(lens []int, cpus topology.CPUSet) (n int) {
	for cpu := range cpus.All() {
		n += lens[cpu]
	}
	return n
}

// TestLargest is one plan after another on the largest machine.
func TestLargest(t *testing.T) {
	r := newRig(sim.Options{Topology: machine(t, "8x64x2"), Seed: 1, Slice: tick}, scheduler.Config{Mode: scheduler.Own}, scheduler.Always{})
	r.host.Start(3000, sim.Spec{CPU: 5})
	r.host.Start(500, sim.Spec{CPU: 900})
	for range 60 {
		r.tick(tick)
		if n := r.moves(); n > r.b.Budget() {
			t.Fatalf("%d moves, over the budget of %d", n, r.b.Budget())
		}
	}
	if lens := r.lengths(); spread(lens) > 2 {
		t.Errorf("queues after 60 ticks: %v", lens)
	}
	must(r.host.Check())
	if r.b.Cooling() > 6*r.b.Budget()*2 {
		t.Errorf("%d cool-downs are remembered", r.b.Cooling())
	}
}

// TestIdleCores checks active balance: two running threads that share a core
// are parted while another core is idle, but not by the policy never.
func TestIdleCores(t *testing.T) {
	for policy, want := range map[scheduler.Policy]int{scheduler.CFS{}: 1, scheduler.Never{}: 2} {
		r := newRig(sim.Options{Topology: machine(t, "1x2x2"), Seed: 1}, scheduler.Config{Mode: scheduler.Own}, policy)
		r.host.Start(1, sim.Spec{CPU: 0})
		r.host.Start(1, sim.Spec{CPU: 1})
		active := 0
		for range 10 {
			r.look()
			for _, c := range r.plan.Candidates {
				if c.Active && c.Reason == scheduler.Moved {
					active++
				}
			}
			r.act(tick)
		}
		lens := r.lengths()
		if got := lens[0] + lens[1]; got != want || active != 2-want {
			t.Errorf("%s: queues %v after %d active moves", policy.Name(), lens, active)
		}
	}
}

// TestFailuresMoveTheReluctant: a thread that the kernel's rule calls hot stays
// until more than cache_nice_tries attempts have failed.
func TestFailuresMoveTheReluctant(t *testing.T) {
	r := newRig(sim.Options{Topology: machine(t, "1x2x1"), Seed: 1, MigrationCost: -1}, scheduler.Config{Mode: scheduler.Own}, scheduler.CFS{})
	r.host.Start(2, sim.Spec{CPU: 1})
	var got []scheduler.Reason
	for range 5 {
		r.look()
		for _, c := range r.plan.Candidates {
			if c.Asked {
				got = append(got, c.Reason)
				if want := uint32(len(got) - 1); c.Decision.NrBalanceFailed != want || c.Decision.CacheNiceTries != 1 {
					t.Errorf("asked with %d failures of %d, want %d of 1", c.Decision.NrBalanceFailed, c.Decision.CacheNiceTries, want)
				}
			}
		}
		r.act(tick)
	}
	if want := []scheduler.Reason{scheduler.Stay, scheduler.Stay, scheduler.Moved}; !equal(got, want) {
		t.Errorf("verdicts %v, want %v", got, want)
	}
}

func equal(a, b []scheduler.Reason) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A snapshot of another machine than the topology's: what fits is planned for.
func TestForeignSnapshot(t *testing.T) {
	for _, online := range []bool{false, true} {
		b := scheduler.NewBalancer(machine(t, "2x2x2"), scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldAll}, scheduler.Always{})
		s := &features.Snapshot{Runqueues: []features.Runqueue{{Online: online}}}
		all := s.Mask(topology.NewCPUSet(0, 1, 2, 3, 4, 5, 6, 7, 600))
		for _, cpu := range []int32{-1, 8, 600, 1, 1, 1} {
			s.Threads = append(s.Threads, features.Thread{CPU: cpu, State: 'R', Managed: true, Allowed: all, Owner: all, Hold: -1, Faults: 7})
		}
		p := b.Plan(s)
		for _, h := range p.Holds {
			if h.CPU != 0 {
				t.Errorf("hold %+v", h)
			}
		}
		if (len(p.Holds) > 0) != online {
			t.Errorf("online %v: %d holds", online, len(p.Holds))
		}
		b.Commit(s, p, nil)
	}
}
