// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// machines are simulated ones.
var machines = []struct {
	name   string
	make   func() *simulated
	budget time.Duration
}{
	{"a core of two threads as told", func() *simulated { return machine("1x1x2") }, 5 * time.Second},
	{"two cores as told", func() *simulated { return machine("1x2x1") }, 5 * time.Second},
	{"stacked in pairs, told flat", func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x4x1") }, 5 * time.Second},
	{"stacked in pairs, told", func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x2x2") }, 5 * time.Second},
	{"stacked crosswise", func() *simulated { return flat(4).stack(every(4, 2, 2)...).tell("1x4x1") }, 5 * time.Second},
	{"one pair of many", func() *simulated { return flat(16).stack([]int{3, 11}).tell("1x16x1") }, 5 * time.Second},
	{"four on one", func() *simulated { return flat(16).stack(every(16, 4, 1)...).tell("1x16x1") }, 5 * time.Second},
	{"SMT hidden", func() *simulated { return flat(16).siblings(every(16, 2, 8)...).tell("1x16x1") }, 5 * time.Second},
	{"SMT told and not there", func() *simulated { return flat(8).tell("1x4x2") }, 5 * time.Second},
	{"two nodes as told", func() *simulated { return machine("2x4x2") }, 5 * time.Second},
	{"the paper's, turbo", func() *simulated { s := machine("2x14x2"); s.turbo = 0.3; return s }, 5 * time.Second},
	{"caches hidden", func() *simulated {
		s := machine("1x4x4x1")
		return s.tell("1x16x1")
	}, 5 * time.Second},
	{"small caches hidden", func() *simulated { return machine("1x2x2x1").tell("1x4x1") }, 5 * time.Second},
	{"caches and nodes hidden", func() *simulated { s := machine("2x2x4x2"); return s.tell("1x32x1") }, 5 * time.Second},
	{"64 flat", func() *simulated { return machine("1x64x1") }, 5 * time.Second},
	{"64, SMT", func() *simulated { return machine("2x16x2") }, 5 * time.Second},
	{"64, stacked, told flat", func() *simulated { return flat(64).stack(every(64, 2, 32)...).tell("1x64x1") }, 5 * time.Second},
	{"512 flat", func() *simulated { return machine("1x512x1") }, 30 * time.Second},
	{"512, caches and SMT as told", func() *simulated { return machine("2x16x8x2") }, 30 * time.Second},
	{"512, all hidden", func() *simulated { s := machine("2x16x8x2"); return s.tell("1x512x1") }, 30 * time.Second},
	{"512, stacked, told flat", func() *simulated { return flat(512).stack(every(512, 2, 256)...).tell("1x512x1") }, 30 * time.Second},
	{"fast and slow", func() *simulated {
		s := flat(8).tell("1x8x1")
		copy(s.speed[4:], []float64{0.5, 0.5, 0.25, 0.25})
		return s
	}, 5 * time.Second},
}

// compare returns the pairs of which a profile is sure and wrong, and of which it
// is not sure.
func compare(s *simulated, p *Profile) (wrong []string, unsure int) {
	for a := range p.Probed.All() {
		for b := range p.Probed.All() {
			if a >= b {
				continue
			}
			got, sure := p.Relation(a, b)
			switch {
			case !sure:
				unsure++
			case len(p.LLCs) <= 2 && got == SameNode && s.relation(a, b) == Remote: // two caches have one distance: it says nothing of nodes
			case got != s.relation(a, b):
				wrong = append(wrong, fmt.Sprintf("%d,%d: %s is %s", a, b, got, s.relation(a, b)))
			}
		}
	}
	return wrong, unsure
}

func TestMachines(t *testing.T) {
	for _, tt := range machines {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(3) {
				s := tt.make().seeded(seed)
				p, err := Run(context.Background(), s, Options{Told: s.told, Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				took := s.now.Sub(time.Unix(0, 0))
				wrong, unsure := compare(s, p)
				t.Logf("seed %d: %v, %d tests of groups, %d hand-offs", seed, took, s.works, s.handoffs)
				if len(wrong) > 0 || unsure > 0 {
					t.Errorf("seed %d: %d wrong: %q; %d unsure: %.5v", seed, len(wrong), wrong[:min(len(wrong), 4)], unsure, p.Doubts[:min(len(p.Doubts), 4)])
				}
				if took > tt.budget {
					t.Errorf("seed %d: took %v", seed, took)
				}
			}
		})
	}
}
