// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// disturbances are what other load does to a machine; n is its CPUs.
var disturbances = []struct {
	name string
	set  func(s *simulated)
	most float64 // share of the pairs that may stay uncertain
}{
	{"quiet", func(s *simulated) { s.noise = 0.005 }, 0},
	{"noisy", func(s *simulated) { s.noise = 0.06 }, 0.05},
	{"others run now and then", func(s *simulated) { s.busy = 0.15 }, 0.05},
	{"others run everywhere", func(s *simulated) { s.busy = 1 }, 1},
	{"the host's load", func(s *simulated) { s.stolen = 0.15 }, 0.2},
	{"the host's load, half of the time", func(s *simulated) { s.stolen = 0.5 }, 1},
	{"a steady load of the host", func(s *simulated) { s.steady[0], s.steady[len(s.steady)-1] = 0.5, 0.5 }, 0.05},
	{"a load that comes and goes", func(s *simulated) {
		s.change = func(now time.Time, s *simulated) {
			on := now.UnixMilli()/250%2 == 0
			for cpu := range s.steady {
				s.steady[cpu] = 0
				if on && cpu%3 == 0 {
					s.steady[cpu] = 0.5
				}
			}
		}
	}, 0.3},
}

// TestDisturbed: whatever disturbs a probe, what it is sure of is right.
func TestDisturbed(t *testing.T) {
	small := []func() *simulated{
		func() *simulated { return machine("1x2x1") },
		func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x4x1") },
		func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x2x2") },
		func() *simulated { return flat(4).tell("1x4x1") },
		func() *simulated { return flat(16).siblings(every(16, 2, 8)...).tell("1x16x1") },
		func() *simulated { return machine("2x4x2") },
		func() *simulated { return machine("2x2x4x1").tell("1x16x1") },
	}
	for _, d := range disturbances {
		t.Run(d.name, func(t *testing.T) {
			for k, make := range small {
				pairs, unsure, wrong := 0, 0, 0
				for seed := range uint64(20) {
					s := make().seeded(seed)
					d.set(s)
					p, err := Run(context.Background(), s, Options{Told: s.told, Seed: seed})
					if err != nil {
						t.Fatal(err)
					}
					n := p.Probed.Count()
					bad, open := compare(s, p)
					pairs, unsure, wrong = pairs+n*(n-1)/2, unsure+open, wrong+len(bad)
					if len(bad) > 0 {
						t.Errorf("machine %d, seed %d: %q", k, seed, bad[:min(len(bad), 4)])
					}
				}
				t.Logf("machine %d: %d pairs, %d uncertain, %d wrong", k, pairs, unsure, wrong)
				if float64(unsure) > d.most*float64(pairs) {
					t.Errorf("machine %d: %d of %d pairs are uncertain", k, unsure, pairs)
				}
			}
		})
	}
}

// TestSureIsRight: of a random machine that is told to be another, and disturbed,
// nothing is said with confidence that is wrong.
func TestSureIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, caches := rapid.IntRange(1, 2).Draw(t, "nodes"), rapid.IntRange(1, 3).Draw(t, "caches")
		if nodes > 1 {
			caches = max(caches, 2) // hidden nodes of one cache each are caches to a probe
		}
		desc := fmt.Sprintf("%dx%dx%dx%d", nodes, caches, rapid.IntRange(2, 4).Draw(t, "cores"), rapid.IntRange(1, 2).Draw(t, "threads"))
		s := machine(desc)
		n := len(s.core)
		told := rapid.SampledFrom([]string{desc, fmt.Sprintf("1x%dx1", n)}).Draw(t, "told")
		order := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})).Draw(t, "order")
		for k := 0; k+1 < rapid.IntRange(0, n/2).Draw(t, "stacked"); k += 2 {
			if a, b := order[k], order[k+1]; s.core[a] != s.core[b] || told != desc {
				if told == desc && (s.llc[a] != s.llc[b]) {
					continue // what is told of caches is not doubted
				}
				s.stack([]int{a, b})
			}
		}
		s.tell(told).seeded(rapid.Uint64().Draw(t, "seed"))
		s.noise = rapid.Float64Range(0, 0.05).Draw(t, "noise")
		s.turbo = rapid.Float64Range(0, 0.3).Draw(t, "turbo")
		s.smt = rapid.Float64Range(0.5, 0.7).Draw(t, "smt")
		s.busy = rapid.SampledFrom([]float64{0, 0, 0.1, 0.5, 1}).Draw(t, "busy")
		s.stolen = rapid.SampledFrom([]float64{0, 0, 0.1, 0.3}).Draw(t, "stolen")
		for cpu := range s.speed {
			s.speed[cpu] = rapid.SampledFrom([]float64{1, 1, 0.7, 0.4}).Draw(t, "speed")
		}
		p, err := Run(context.Background(), s, Options{Told: s.told, Seed: rapid.Uint64().Draw(t, "groups")})
		if err != nil {
			t.Fatal(err)
		}
		if wrong, _ := compare(s, p); len(wrong) > 0 {
			t.Errorf("%s told %s: %q", desc, told, wrong[:min(len(wrong), 4)])
		}
	})
}
