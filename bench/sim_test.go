// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math/rand/v2"
	"testing"
	"time"

	"mllb/bench/measure"
	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// simulate is one run on a simulated machine of four CPUs: three threads begin on
// each; those on two of the CPUs have little to do, and the rest must then be
// spread. Times and queues are the simulation's, and the seed decides them.
func simulate(t *testing.T, s Slot, a *Arm, seed uint64) Record {
	t.Helper()
	topo, err := topology.Parse("1x4x1")
	if err != nil {
		t.Fatal(err)
	}
	host := sim.New(sim.Options{Topology: topo, Seed: seed, Kernel: true})
	rng := rand.New(rand.NewPCG(seed, 9))
	for i := range 12 {
		life := 2 * time.Second
		if i%4 < 2 {
			life = 400 * time.Millisecond
		}
		host.Start(1, sim.Spec{CPU: i % 4, Life: time.Duration(float64(life) * (0.9 + 0.2*rng.Float64()))})
	}
	var b *scheduler.Balancer
	if a.Kind == Daemon {
		policy, err := scheduler.NewPolicy(a.Policy, nil)
		if err != nil {
			t.Fatal(err)
		}
		b = scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, policy)
	}
	r := Record{Slot: s, Sample: &measure.Sample{HasQueues: true}}
	var snap features.Snapshot
	for {
		if err := host.Snapshot(&snap); err != nil {
			t.Fatal(err)
		}
		if len(snap.Threads) == 0 {
			return r
		}
		if b != nil {
			balance(t, host, b, &snap)
		}
		look(r.Sample, &snap)
		// A run ends within a slice, not within a tick.
		for range 25 {
			host.Step(4 * time.Millisecond)
			r.Wall += 0.004
			if host.Snapshot(&snap) == nil && len(snap.Threads) == 0 {
				return r
			}
		}
	}
}

func balance(t *testing.T, host *sim.Host, b *scheduler.Balancer, snap *features.Snapshot) {
	t.Helper()
	if err := host.Sync(snap); err != nil {
		t.Fatal(err)
	}
	plan := b.Plan(snap)
	errs := host.Apply(snap, plan.Holds, 0)
	host.Release(snap, plan.Releases)
	b.Commit(snap, plan, errs)
}

// look takes a sample of the queues.
func look(s *measure.Sample, snap *features.Snapshot) {
	var n [4]int
	for i := range snap.Threads {
		n[snap.Threads[i].CPU]++
	}
	low, high := n[0], n[0]
	for _, q := range n {
		low, high = min(low, q), max(high, q)
		for len(s.Lengths) <= q {
			s.Lengths = append(s.Lengths, 0)
		}
		s.Lengths[q]++
	}
	s.MaxImbalance = append(s.MaxImbalance, uint32(high-low))
}

// A bad scheduler is told apart from stock, by times and by counts, in every one
// of many benchmarks; stock is told apart from stock in hardly any.
func TestBadIsSeenAndGhostsAreNot(t *testing.T) {
	arms, err := ParseArms([]string{"stock", "again=stock", "own:never"})
	if err != nil {
		t.Fatal(err)
	}
	const benchmarks = 20
	ghosts := 0
	for seed := range uint64(benchmarks) {
		cfg := Config{Arms: arms, Workloads: []Workload{{Name: "thinned"}}, Runs: 10, Seed: seed}
		var records []Record
		for i, s := range cfg.Slots() {
			records = append(records, simulate(t, s, cfg.Arm(s.Arm), seed<<16+uint64(i)))
		}
		r := newReport(testHead(cfg), records)
		w := r.workload("thinned")
		for _, metric := range []string{"time", "imbalance"} {
			if c := w.arm("own:never").Values[metric].Against; c.Verdict != More || c.Lo <= 1 {
				t.Errorf("benchmark %d: own:never, %s: %+v", seed, metric, *c)
			}
			c := w.arm("again").Values[metric].Against
			if c.Verdict != NoDifference {
				ghosts++
				t.Logf("benchmark %d: stock against stock, %s: %+v", seed, metric, *c)
			}
			if metric == "time" && !(c.Smallest > 0 && c.Smallest < 0.2) {
				t.Errorf("benchmark %d: %v would have shown", seed, c.Smallest)
			}
		}
	}
	// At 0.05 for a family, 40 families of two have two, or fewer.
	if ghosts > 2 {
		t.Errorf("%d ghosts in %d benchmarks", ghosts, benchmarks)
	}
}
