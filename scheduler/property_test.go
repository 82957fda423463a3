// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// drawMachine draws machines from 1x1x1 to 8x64x2, most of them small.
func drawMachine(t *rapid.T, most int) *topology.Topology {
	sockets := rapid.IntRange(1, 8).Draw(t, "sockets")
	threads := rapid.IntRange(1, 2).Draw(t, "threads")
	caches := rapid.IntRange(1, 2).Draw(t, "caches")
	cores := rapid.IntRange(1, max(1, min(64, most/(sockets*threads*caches)))).Draw(t, "cores")
	topo, err := topology.Parse(fmt.Sprintf("%dx%dx%dx%d", sockets, caches, cores, threads))
	must(err)
	return topo
}

func drawConfig(t *rapid.T) scheduler.Config {
	return scheduler.Config{
		Mode:     scheduler.Mode(rapid.IntRange(int(scheduler.Assist), int(scheduler.Own)).Draw(t, "mode")),
		Hold:     scheduler.HoldPolicy(rapid.IntRange(0, 2).Draw(t, "hold")),
		Budget:   rapid.IntRange(0, 6).Draw(t, "budget"),
		CoolDown: time.Duration(rapid.IntRange(1, 1000).Draw(t, "cooldown")) * time.Millisecond,
	}
}

func drawPolicy(t *rapid.T) scheduler.Policy {
	return rapid.SampledFrom([]scheduler.Policy{scheduler.CFS{}, scheduler.Always{}, coin{}}).Draw(t, "policy")
}

// coin is a policy without sense, but the same answer to the same question.
type coin struct{}

func (coin) Name() string { return "coin" }
func (coin) Decide(d *features.Decision) scheduler.Verdict {
	return scheduler.Verdict{Migrate: (uint64(d.Delta)+uint64(d.SrcCPU))%3 == 0}
}

// populate starts threads of many kinds.
func populate(t *rapid.T, h *sim.Host, cpus int) (ids []features.ID) {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "threads"), 2))
	return crowd(rng, rapid.IntRange(0, 12).Draw(t, "kinds"), h, cpus)
}

func crowd(rng *rand.Rand, kinds int, h *sim.Host, cpus int) (ids []features.ID) {
	for range kinds {
		spec := sim.Spec{
			Nice: int8(rng.IntN(40) - 20), CPU: rng.IntN(cpus), Policy: features.SchedOther,
			Run: time.Duration(rng.IntN(50)) * time.Millisecond, Narrowed: rng.IntN(10) == 0, MigrationDisabled: rng.IntN(10) == 0,
			TGID: int32(1 + rng.IntN(3)), Grouped: rng.IntN(2) == 0, Home: int32(rng.IntN(9) - 1),
		}
		switch rng.IntN(8) {
		case 0:
			spec.Policy = features.SchedDeadline
		case 1:
			spec.Flags = features.FlagKthread
		case 2:
			spec.Policy = features.SchedBatch
			spec.Life = time.Duration(rng.IntN(500)) * time.Millisecond
		}
		if rng.IntN(2) == 0 {
			spec.Sleep = time.Duration(rng.IntN(200)) * time.Millisecond
		}
		if rng.IntN(4) == 0 {
			spec.Owner = topology.NewCPUSet(spec.CPU, rng.IntN(cpus))
		}
		ids = append(ids, h.Start(1+rng.IntN(2*cpus), spec)...)
	}
	return ids
}

// judge holds the plans of one balancer against what must never happen.
type judge struct {
	r    *rig
	last map[features.ID]int64 // when a thread was last moved
}

func (j *judge) check(t *rapid.T) {
	r, p := j.r, j.r.plan
	if n := r.moves(); n > r.b.Budget() {
		t.Fatalf("%d moves, over the budget of %d", n, r.b.Budget())
	}
	loads := make([]int64, len(r.host.Topology().CPUs))
	for i := range r.s.Threads {
		if th := &r.s.Threads[i]; th.CPU >= 0 {
			loads[th.CPU] += scheduler.LoadOf(th)
		}
	}
	once := map[int32]bool{}
	for _, hold := range p.Holds {
		th := &r.s.Threads[hold.Thread]
		if once[hold.Thread] {
			t.Fatalf("thread %d is held twice in one plan", th.TID)
		}
		once[hold.Thread] = true
		if !th.Managed || !r.s.Masks[th.Owner].Has(int(hold.CPU)) || !r.host.Topology().Online.Has(int(hold.CPU)) {
			t.Fatalf("thread %d may not be held on cpu %d", th.TID, hold.CPU)
		}
	}
	moves := int32(-1) // their holds, in order
	for i := range p.Candidates {
		c := &p.Candidates[i]
		if (c.Hold >= 0) != (c.Reason == scheduler.Moved) || c.Hold >= 0 && c.Hold <= moves {
			t.Fatalf("candidate %d: reason %v, hold %d after %d", i, c.Reason, c.Hold, moves)
		}
		if c.Hold >= 0 {
			moves = c.Hold
			j.move(t, c, &r.s.Threads[c.Thread], p.Holds[c.Hold], loads)
		}
	}
	for _, i := range p.Releases {
		if once[i] || r.s.Threads[i].Hold < 0 {
			t.Fatalf("thread %d is released, but held again or not held", r.s.Threads[i].TID)
		}
	}
}

// move checks one move against the moves before it.
func (j *judge) move(t *rapid.T, c *scheduler.Candidate, th *features.Thread, hold features.Hold, loads []int64) {
	if c.Thread != hold.Thread || c.To != hold.CPU || c.From != th.CPU || c.Reason != scheduler.Moved || c.Asked == c.Active {
		t.Fatalf("hold %+v does not come from candidate %+v", hold, *c)
	}
	if th.MigrationDisabled || th.Running && !c.Active || c.Asked && !c.Verdict.Migrate {
		t.Fatalf("thread %+v moved against a hard condition or the policy", *th)
	}
	cool := j.r.cfg.CoolDown
	if loads[c.To] == 0 {
		cool /= 10
	}
	if at, ok := j.last[th.ID]; ok && j.r.s.Time < at+int64(cool) {
		t.Fatalf("thread %d moved again after %v", th.TID, time.Duration(j.r.s.Time-at))
	}
	d := domainOf(j.r.b.Topology(), c)
	before, was := ranges(j.r.b, d, loads), loads[c.From]
	loads[c.From] -= scheduler.LoadOf(th)
	loads[c.To] += scheduler.LoadOf(th)
	if after := ranges(j.r.b, d, loads); after[0] > before[0]+1e-6 || after[1] > before[1]+1e-6 {
		t.Fatalf("imbalance of %v domain %v grew from %v to %v", d.Level, d.CPUs, before, after)
	}
	w := scheduler.LoadOf(th) // 0 where all have only just become runnable, and count nevertheless
	if x, y := loads[c.To]*j.r.b.Speed(int(c.From)), was*j.r.b.Speed(int(c.To)); w > 0 && x > y {
		t.Fatalf("a thread of load %d went from cpu %d to cpu %d, which is more loaded now than that was", w, c.From, c.To)
	}
}

func domainOf(topo *topology.Topology, c *scheduler.Candidate) *topology.Domain {
	for i := range topo.Domains {
		if d := &topo.Domains[i]; d.Level == c.Level && d.CPUs.Has(int(c.From)) && d.CPUs.Has(int(c.To)) {
			return d
		}
	}
	panic("no such domain")
}

// ranges returns the range of load per speed over a domain's groups and CPUs.
func ranges(b *scheduler.Balancer, d *topology.Domain, loads []int64) (r [2]float64) {
	var lo, hi [2]float64
	lo[0], lo[1] = 1e18, 1e18
	for _, g := range d.Groups {
		sum, speed := 0.0, 0.0
		for cpu := range g.All() {
			v := float64(b.Speed(cpu))
			x := float64(loads[cpu]) / v
			sum, speed = sum+float64(loads[cpu]), speed+v
			lo[1], hi[1] = min(lo[1], x), max(hi[1], x)
		}
		sum /= speed
		lo[0], hi[0] = min(lo[0], sum), max(hi[0], sum)
	}
	return [2]float64{hi[0] - lo[0], hi[1] - lo[1]}
}

// commit remembers the moves that took effect.
func (j *judge) commit() {
	for i := range j.r.plan.Candidates {
		if c := &j.r.plan.Candidates[i]; c.Hold >= 0 && j.r.errs[c.Hold] == nil {
			j.last[j.r.s.Threads[c.Thread].ID] = j.r.s.Time
		}
	}
}

// outcome is a copy of a plan that outlives it.
type outcome struct {
	Candidates []scheduler.Candidate
	Holds      []features.Hold
	Releases   []int32
}

func keep(p *scheduler.Plan) outcome {
	return outcome{
		append([]scheduler.Candidate(nil), p.Candidates...), append([]features.Hold(nil), p.Holds...),
		append([]int32(nil), p.Releases...),
	}
}

// TestInvariants lets anything happen to a host and its threads, and checks
// every plan, and the host after every tick. A twin that saw the same
// snapshots and commits must plan the same.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topo := drawMachine(t, 64)
		cpus := len(topo.CPUs)
		opt := sim.Options{
			Topology: topo, Seed: rapid.Uint64().Draw(t, "seed"), Kernel: rapid.Bool().Draw(t, "kernel"),
			NUMABalancing: rapid.Bool().Draw(t, "numa"), FailOneIn: rapid.IntRange(0, 4).Draw(t, "fail"),
			MigrationCost: rapid.SampledFrom([]time.Duration{-1, 0, 500 * time.Microsecond, time.Second}).Draw(t, "cost"),
			Slice:         10 * time.Millisecond,
		}
		cfg, policy := drawConfig(t), drawPolicy(t)
		r := newRig(opt, cfg, policy)
		if cfg.Mode == scheduler.Assist {
			r.lease = time.Duration(rapid.IntRange(1, 1000).Draw(t, "lease")) * time.Millisecond
		}
		r.measure = drawSpeeds(t, cpus, false)
		twin := scheduler.NewBalancer(topo, cfg, policy)
		j := &judge{r, map[features.ID]int64{}}
		ids := populate(t, r.host, cpus)
		rng := rand.New(rand.NewPCG(opt.Seed, 3))
		for range rapid.IntRange(1, 30).Draw(t, "ticks") {
			disturb(r, twin, rng, ids)
			first := keep(r.look())
			if diff := cmp.Diff(first, keep(r.b.Plan(&r.s))); diff != "" {
				t.Fatalf("planned again, the plan differs: %s", diff)
			}
			plan := twin.Plan(&r.s)
			if diff := cmp.Diff(first, keep(plan)); diff != "" {
				t.Fatalf("the twin's plan differs: %s", diff)
			}
			j.check(t)
			r.act(time.Duration(10+rng.IntN(200)) * time.Millisecond)
			twin.Commit(&r.s, plan, r.errs)
			j.commit()
			if err := r.host.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// disturb does what a host does behind a daemon's back.
func disturb(r *rig, twin *scheduler.Balancer, rng *rand.Rand, ids []features.ID) {
	if len(ids) == 0 {
		return
	}
	id, n := ids[rng.IntN(len(ids))], len(r.host.Topology().CPUs)
	switch rng.IntN(6) {
	case 0:
		_, _ = r.host.Fork(id) // it may have exited
	case 1:
		_ = r.host.Exit(id)
	case 2:
		_ = r.host.SetMask(id, topology.NewCPUSet(rng.IntN(n), rng.IntN(n)))
	case 3:
		// The daemon hears of a hotplug only some of the time.
		if err := r.host.SetOnline(rng.IntN(n), rng.IntN(2) == 0); err == nil && rng.IntN(2) == 0 {
			r.b.SetTopology(r.host.Topology())
			twin.SetTopology(r.host.Topology())
		}
	}
}
