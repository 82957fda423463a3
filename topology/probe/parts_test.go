// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// probing is a probe that has measured speeds.
func probing(t *testing.T, s *simulated) *run {
	r := &run{Options: Options{Told: s.told}, ctx: context.Background(), m: s, rng: rand.New(rand.NewPCG(1, 1)), pairs: make(map[[2]int]*Pair)}
	for cpu := range s.told.Online.All() {
		r.cpus = append(r.cpus, cpu)
	}
	n := len(r.cpus)
	r.quiet, r.noisy, r.alone = make([][]float64, n), make([][]float64, n), make([]Interval, n)
	r.excluded = make([][]uint8, n)
	for i := range r.excluded {
		r.excluded[i] = make([]uint8, n)
	}
	if err := r.speeds(aloneRounds); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNeverWithout: a CPU that no test has without its sibling does its best
// there, and excludes nobody by that.
func TestNeverWithout(t *testing.T) {
	s := flat(8).siblings([]int{0, 1}).tell("1x8x1")
	s.smt = 0.7
	r := probing(t, s)
	var tests []test
	for range 10 {
		rates, err := r.work([]int{0, 1, 2, 3}, groupTime)
		if err != nil {
			t.Fatal(err)
		}
		did := test{make([]float64, 8)}
		for k := range rates {
			did.rate[k] = rates[k].PerSecond
		}
		other := test{make([]float64, 8)}
		for i := 4; i < 8; i++ {
			other.rate[i] = 1e6
		}
		tests = append(tests, did, other)
	}
	r.exclude(tests)
	if r.excluded[0][1] >= needed {
		t.Error("siblings exclude each other")
	}
	if r.excluded[2][3] < needed || r.excluded[0][2] < needed {
		t.Error("others do not")
	}
}

// TestUnevenRound: a round in which a CPU does half as much in one turn as in
// another does not count, nor one with a CPU that does more than alone.
func TestUnevenRound(t *testing.T) {
	for name, change := range map[string]func(turn int, s *simulated){
		"one turn": func(turn int, s *simulated) {
			if turn == 1 {
				s.steady[0], s.steady[1] = 0.5, 0.5
			}
		},
		"alone": func(turn int, s *simulated) {
			if turn == 0 || turn == 2 {
				s.steady[0], s.steady[1] = 0.5, 0.5
			}
		},
	} {
		s := flat(2).tell("1x2x1")
		r := probing(t, s)
		works := s.works
		s.change = func(_ time.Time, s *simulated) {
			clear(s.steady)
			change((s.works-works-1)%4, s)
		}
		x := &trial{a: 0, b: 1}
		if err := r.together([]*trial{x}, pairTime); err != nil || len(x.factors) > 0 {
			t.Errorf("%s: %v, factors %v", name, err, x.factors)
		}
		s.change = func(_ time.Time, s *simulated) { clear(s.steady) }
		if err := r.together([]*trial{x}, pairTime); err != nil || len(x.factors) != 1 {
			t.Errorf("%s, undisturbed: %v, factors %v", name, err, x.factors)
		}
	}
}

// TestDisturbedHandoff: CPUs that other threads keep from running do not seem to
// take turns.
func TestDisturbedHandoff(t *testing.T) {
	s := flat(2).tell("1x2x1")
	r := probing(t, s)
	s.busy = 1
	x := &trial{a: 0, b: 1}
	for range 20 {
		if err := r.pass(x); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.slow) > 0 || len(x.handoffs) == 0 {
		t.Errorf("slow %v, quick %v", x.slow, x.handoffs)
	}
}

// TestInfer: who shares a core with one that is apart from a third is apart from
// it as well; nothing else follows.
func TestInfer(t *testing.T) {
	s := flat(5).tell("1x5x1")
	r := probing(t, s)
	for _, p := range []Pair{
		{A: 0, B: 1, Relation: Stacked}, {A: 1, B: 2, Relation: Apart}, {A: 0, B: 2, Relation: Uncertain},
		{A: 1, B: 3, Relation: Siblings}, {A: 0, B: 3, Relation: Uncertain}, {A: 2, B: 4, Relation: Uncertain},
		{A: 3, B: 4, Relation: Uncertain},
	} {
		r.pairs[[2]int{p.A, p.B}] = &p
	}
	r.excluded[0][4], r.excluded[4][0] = needed, needed // by a group, so 3, which is not known to be with 0, may be with 4
	r.infer()
	want := map[[2]int]Relation{{0, 1}: Stacked, {1, 2}: Apart, {0, 2}: Apart, {1, 3}: Siblings, {0, 3}: Uncertain, {2, 4}: Uncertain, {3, 4}: Uncertain}
	for pair, relation := range want {
		if got := r.pairs[pair].Relation; got != relation {
			t.Errorf("%v: %s, want %s", pair, got, relation)
		}
	}
	if len(r.doubts) != 3 {
		t.Errorf("doubts: %v", r.doubts)
	}
}
