// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
)

// TestFitIsReproducible fits a model from little, twice.
func TestFitIsReproducible(t *testing.T) {
	fitted := func(seed uint64) string {
		m, err := fit(t.Context(), config{seed: seed, ticks: 12, limit: 40, variants: 4, epochs: 4, log: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if b := m.Provenance.Metrics["variant_balanced"]; b < 0.7 {
			t.Errorf("seed %d: balanced accuracy of %.3f", seed, b)
		}
		var b bytes.Buffer
		if err := m.Save(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := fitted(3)
	if diff := cmp.Diff(first, fitted(3)); diff != "" {
		t.Errorf("the same seed gave (-first +second):\n%s", diff)
	}
	if first == fitted(4) {
		t.Error("another seed gave the same model")
	}
}

// TestRunsAreApart holds that no run is both learned from and judged by.
func TestRunsAreApart(t *testing.T) {
	seeds := map[uint64]bool{}
	for _, list := range [][]run{runs(learned, 0, 1), runs(learned, 1000, 1), runs(unseen, 2000, 1)} {
		for _, r := range list {
			if seeds[r.seed] || uint64(r.id)+1 != r.seed {
				t.Errorf("run %+v has the seed of another", r)
			}
			seeds[r.seed] = true
		}
	}
}

// TestDefaultModel judges the embedded model on variants of questions made
// here, beyond any that a simulated host asks.
func TestDefaultModel(t *testing.T) {
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scheduler.NewMLP(m)
	if err != nil {
		t.Fatal(err)
	}
	v := varier{rng: rand.New(rand.NewPCG(20, 21))}
	var c mlp.Confusion
	for i := range 20_000 {
		v.nodes = 1 + int32(i%4)
		d := features.Decision{
			SrcNode: v.rng.Int32N(v.nodes), DstNode: v.rng.Int32N(v.nodes), PreferredNode: features.NoNode,
			Domain: features.ShareLLC, CacheNiceTries: 1, Fair: true, Delta: 10e6, MigrationCost: 500_000,
			SrcNrRunning: 2, SrcNrPreferredRunning: 2, SrcLen: 2, SrcLoad: 2048,
		}
		if d.SrcNode != d.DstNode {
			d.Domain, d.CacheNiceTries = features.SDNUMA, 2
		}
		v.vary(&d)
		c.Add(label(scheduler.CFS{}.Decide(&d)), label(policy.Decide(&d)))
	}
	if c.Balanced() < 0.98 || c.Majority() > 0.9 {
		t.Errorf("balanced %.4f, stay recall %.4f, majority %.4f: %v", c.Balanced(), c.Recall(mlp.Stay), c.Majority(), c.N)
	}
}

// TestVariants holds that a variant is a question that a kernel could ask, and
// that the variants reach every answer of the rule.
func TestVariants(t *testing.T) {
	v := varier{rng: rand.New(rand.NewPCG(22, 23)), nodes: 3}
	var n [2]int
	for range 5000 {
		d := features.Decision{SrcNode: v.rng.Int32N(3), DstNode: v.rng.Int32N(3), Domain: features.SDNUMA, PreferredNode: features.NoNode,
			SrcNrRunning: 2, SrcLen: 2, Fair: true}
		if d.SrcNode == d.DstNode {
			d.Domain = features.ShareLLC
		}
		v.vary(&d)
		sum := uint64(0)
		for _, f := range d.TaskFaults {
			sum += f
		}
		switch {
		case d.SrcNrPreferredRunning > d.SrcNrRunning, d.SrcLen < 2,
			d.SameCore != (d.Domain&features.ShareCPUCapacity != 0), (d.SrcNode != d.DstNode) != (d.Domain&features.SDNUMA != 0),
			sum != d.TaskTotalFaults, !d.HasFaults && (d.PreferredNode != features.NoNode || d.TaskFaults != nil):
			t.Fatalf("no kernel asks %+v", d)
		}
		n[label(scheduler.CFS{}.Decide(&d))]++
	}
	if min(n[0], n[1]) < 1000 {
		t.Errorf("%d stay, %d migrate", n[0], n[1])
	}
}
