// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"maps"
	"slices"
	"time"

	"mllb/topology"
)

const (
	pairTime  = 8 * time.Millisecond // twice as long where that does not tell
	minRounds = 5
	maxRounds = 30
	// slowLimit is how long to wait for a hand-off between CPUs that take turns:
	// a few time slices.
	slowLimit  = 10 * time.Millisecond
	slowRounds = 5

	// Two CPUs share a core if each does less beside the other than this share of
	// its work, and the interval says so.
	shared = 0.78
	apart  = 0.82

	// What both turns of a round have to agree in, and more than alone no CPU does:
	// else something unseen disturbed the round, as a host's load does.
	agree   = 1.25
	tooMuch = 1.15
)

// pairTurns are the turns of a round: which of a pair work. Both are measured
// alone and beside the other in turns, so that what drifts hits all alike.
var pairTurns = [...][2]bool{{true, false}, {true, true}, {false, true}, {true, true}}

// trial is a pair that is being measured.
type trial struct {
	a, b     int // by index
	factors  []float64
	handoffs []float64 // ns, of CPUs that ran at once
	slow     []float64 // ns, undisturbed, of CPUs that seem to take turns
}

// judge measures the suspects in rounds over all of them, those at once that are
// known to share nothing, until each is sure or the time is up.
func (r *run) judge(suspects [][2]int) error {
	r.bar.enter(stagePairs)
	phases := r.phases(r.dropCrowds(suspects))
	open := slices.Clone(phases)
	for round := 0; round < maxRounds && len(open) > 0; round++ {
		for k := range open {
			if r.m.Now().After(r.end) {
				round = maxRounds
				break
			}
			d := pairTime
			if round >= minRounds {
				d *= 2
			}
			if err := r.measurePairs(open[k], d); err != nil {
				return err
			}
			r.bar.step((float64(round) + float64(k+1)/float64(len(open))) / minRounds)
			open[k] = slices.DeleteFunc(slices.Clone(open[k]), (*trial).sure)
		}
		open = slices.DeleteFunc(open, func(phase []*trial) bool { return len(phase) == 0 })
	}
	for _, phase := range phases {
		for _, t := range phase {
			r.settle(t)
		}
	}
	r.infer()
	return nil
}

// dropCrowds leaves out CPUs that are suspected with too many: they were
// disturbed.
func (r *run) dropCrowds(suspects [][2]int) [][2]int {
	count := make([]int, len(r.cpus))
	for _, s := range suspects {
		count[s[0]]++
		count[s[1]]++
	}
	var cpus topology.CPUSet
	left := slices.DeleteFunc(suspects, func(s [2]int) bool {
		crowded := count[s[0]] > sameCore || count[s[1]] > sameCore
		if crowded {
			cpus.Add(r.cpus[s[0]])
			cpus.Add(r.cpus[s[1]])
		}
		return crowded
	})
	if !cpus.Empty() {
		r.doubt(cpus, "core")
	}
	return left
}

// phases puts each pair into the first phase in which no other may share a core
// with it.
func (r *run) phases(suspects [][2]int) (phases [][]*trial) {
	near := func(i, j int) bool { return i == j || r.excluded[i][j] < needed }
	for _, s := range suspects {
		phase := slices.IndexFunc(phases, func(phase []*trial) bool {
			return !slices.ContainsFunc(phase, func(t *trial) bool {
				return near(t.a, s[0]) || near(t.a, s[1]) || near(t.b, s[0]) || near(t.b, s[1])
			})
		})
		if phase < 0 {
			phase = len(phases)
			phases = append(phases, nil)
		}
		phases[phase] = append(phases[phase], &trial{a: s[0], b: s[1]})
	}
	return phases
}

// measurePairs is one round of pairs that share nothing with each other.
func (r *run) measurePairs(phase []*trial, d time.Duration) error {
	if err := r.together(phase, d); err != nil {
		return err
	}
	for _, t := range phase {
		if err := r.pass(t); err != nil {
			return err
		}
	}
	return nil
}

// together has all pairs work through the turns of one round, and notes what
// share of its work alone each CPU does beside the other.
func (r *run) together(open []*trial, d time.Duration) error {
	var did turns
	for turn, who := range pairTurns {
		var members []int
		for _, t := range open {
			if who[0] {
				members = append(members, t.a)
			}
			if who[1] {
				members = append(members, t.b)
			}
		}
		rates, err := r.work(members, d)
		if err != nil {
			return err
		}
		did[turn] = make([]float64, len(r.cpus))
		for k, i := range members {
			if !rates[k].Disturbed {
				did[turn][i] = rates[k].PerSecond
			}
			if len(members) == 1 {
				r.noteAlone(i, rates[k])
			}
		}
	}
	for _, t := range open {
		first := did.share(t, 1)
		again := did.share(t, 3)
		if first > 0 && again > 0 && max(first, again) < agree*min(first, again) && max(first, again) < tooMuch {
			t.factors = append(t.factors, (first+again)/2)
		}
	}
	return nil
}

// turns is what CPUs did in the turns of a round, by index; 0: disturbed.
type turns [len(pairTurns)][]float64

// share is what share of its work alone each of a pair did in a turn, the mean of
// both: two that take turns may do so unevenly. It is 0 if one was disturbed.
func (did *turns) share(t *trial, turn int) float64 {
	a, b := did[0][t.a], did[2][t.b]
	besideB, besideA := did[turn][t.a], did[turn][t.b]
	if a == 0 || b == 0 || besideA == 0 || besideB == 0 {
		return 0
	}
	return (besideB/a + besideA/b) / 2
}

// pass has a pair pass a cache line.
func (r *run) pass(t *trial) error {
	if len(t.handoffs) == 0 && len(t.slow) >= slowRounds {
		return nil // they wait for each other, which takes long
	}
	h, err := r.m.Handoff(r.ctx, r.cpus[t.a], r.cpus[t.b], slowLimit)
	switch {
	case err != nil:
		return err
	case h.Each <= atOnce:
		t.handoffs = append(t.handoffs, float64(h.Each))
	case !h.Disturbed:
		t.slow = append(t.slow, float64(h.Each))
	}
	return nil
}

// verdict says what two CPUs share, and whether that is sure. CPUs that ever
// passed a line at once do not take turns.
func (t *trial) verdict() (Relation, bool) {
	if len(t.factors) < minRounds {
		return Uncertain, false
	}
	factor := interval(t.factors)
	switch {
	case factor.High < shared && len(t.handoffs) > 0:
		return Siblings, true
	case factor.High < shared && len(t.slow) >= slowRounds:
		return Stacked, true
	case factor.Low > apart && len(t.handoffs) > 0:
		return Apart, true
	}
	return Uncertain, false
}

// sure reports whether there is a verdict.
func (t *trial) sure() bool {
	_, sure := t.verdict()
	return sure
}

// settle keeps the verdict.
func (r *run) settle(t *trial) {
	p := &Pair{A: r.cpus[t.a], B: r.cpus[t.b], CoRun: interval(t.factors), Handoff: interval(t.handoffs)}
	if len(t.handoffs) == 0 {
		p.Handoff = interval(t.slow)
	}
	p.Relation, _ = t.verdict()
	r.pairs[[2]int{t.a, t.b}] = p
}

// infer settles what pairs say of each other: a CPU shares no core with another if
// one of its own core does not. What is left is in doubt.
func (r *run) infer() {
	var inferred []*Pair
	for _, pair := range r.measured() {
		p := r.pairs[pair]
		if p.Relation != Uncertain {
			continue
		}
		for b := range r.cpus {
			if r.oneCore(pair[0], b) && r.noCore(b, pair[1]) || r.oneCore(pair[1], b) && r.noCore(b, pair[0]) {
				inferred = append(inferred, p)
				break
			}
		}
	}
	for _, p := range inferred {
		p.Relation = Apart
	}
	for _, pair := range r.measured() {
		if p := r.pairs[pair]; p.Relation == Uncertain {
			r.doubt(topology.NewCPUSet(p.A, p.B), "core")
		}
	}
}

// measured are the pairs that were, in order.
func (r *run) measured() [][2]int {
	return slices.SortedFunc(maps.Keys(r.pairs), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
}

// oneCore reports whether two CPUs are known to share a core, noCore that they are
// known not to.
func (r *run) oneCore(i, j int) bool {
	p := r.pairs[key(i, j)]
	return p != nil && (p.Relation == Stacked || p.Relation == Siblings)
}

func (r *run) noCore(i, j int) bool {
	if i == j {
		return false
	}
	p := r.pairs[key(i, j)]
	return p != nil && p.Relation == Apart || p == nil && r.excluded[i][j] >= needed
}

// cores returns the groups of CPUs that share a core. A group of which some
// pair is not known to share it is a doubt: sharing is transitive.
func (r *run) cores() (cores []topology.CPUSet) {
	var edges [][2]int
	for _, pair := range r.measured() {
		if r.oneCore(pair[0], pair[1]) {
			edges = append(edges, pair)
		}
	}
	for _, members := range components(len(r.cpus), edges) {
		var set topology.CPUSet
		whole := true
		for k, i := range members {
			set.Add(r.cpus[i])
			for _, j := range members[k+1:] {
				whole = whole && r.oneCore(i, j)
			}
		}
		if whole {
			cores = append(cores, set)
		} else {
			r.doubt(set, "core")
		}
	}
	return cores
}
