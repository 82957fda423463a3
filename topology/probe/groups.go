// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math/bits"
	"slices"
	"time"
)

const (
	// direct is up to how many CPUs all pairs are measured at once.
	direct = 4
	// minShuffles and maxShuffles bound how often the CPUs are numbered anew.
	minShuffles = 4
	maxShuffles = 40
	// sameCore bounds with how many CPUs one may be suspected to share its core.
	sameCore = 16

	unslowed = 0.85 // of its best: nobody there shares the CPU's core
	worked   = 0.35 // of its best: the other did run
	throttle = 0.6  // of its speed alone: what many busy CPUs may cost each
	needed   = 2    // tests that have to exclude a pair
)

// test is what a group did; rate is 0 for CPUs that are not in it or were
// disturbed.
type test struct{ rate []float64 }

// suspects returns the pairs, by index, that may share a core: those that no
// test excludes. A pair is excluded by tests in which both worked, undisturbed,
// and one did as much as it ever does in a group of that size.
func (r *run) suspects() ([][2]int, error) {
	n := len(r.cpus)
	r.bar.enter(stageGroups)
	r.excluded = make([][]uint8, n)
	for i := range r.excluded {
		r.excluded[i] = make([]uint8, n)
	}
	if n <= direct {
		return r.left(), nil
	}
	var tests []test
	last := -1
	limit := r.start.Add(budget(n) * 2 / 5)
	for shuffle := range maxShuffles {
		if shuffle > 0 && r.m.Now().After(limit) {
			break
		}
		more, err := r.shuffle()
		if err != nil {
			return nil, err
		}
		tests = append(tests, more...)
		r.exclude(tests)
		left := len(r.left())
		if shuffle+1 >= minShuffles && left == last && left <= n*sameCore/2 {
			break
		}
		last = left
		r.bar.step(float64(shuffle+1) / (2 * minShuffles))
	}
	return r.left(), nil
}

// shuffle numbers the CPUs at random and has, for each bit, those work that have
// it, and then those that do not. So any two are apart in some test.
func (r *run) shuffle() (tests []test, err error) {
	order := r.rng.Perm(len(r.cpus))
	for bit := range bits.Len(uint(len(order) - 1)) {
		for value := range 2 {
			var members []int
			for number, i := range order {
				if number>>bit&1 == value {
					members = append(members, i)
				}
			}
			slices.Sort(members)
			rates, err := r.work(members, groupTime)
			if err != nil {
				return nil, err
			}
			t := test{make([]float64, len(order))}
			for k, i := range members {
				if !rates[k].Disturbed {
					t.rate[i] = rates[k].PerSecond
				}
			}
			tests = append(tests, t)
		}
	}
	return tests, nil
}

// work is Machine.Work by index.
func (r *run) work(members []int, d time.Duration) ([]Rate, error) {
	cpus := make([]int, len(members))
	for k, i := range members {
		cpus[k] = r.cpus[i]
	}
	return r.m.Work(r.ctx, cpus, d)
}

// exclude counts for each pair the tests that exclude it.
func (r *run) exclude(tests []test) {
	best := r.best(tests)
	least := r.least(best)
	for i := range r.excluded {
		clear(r.excluded[i])
	}
	for _, t := range tests {
		for i, rate := range t.rate {
			if rate == 0 || rate < unslowed*best[i] || best[i] < least*r.alone[i].Median {
				continue
			}
			for j, other := range t.rate {
				if j != i && other >= worked*best[j] && other > 0 && r.excluded[i][j] < needed {
					r.excluded[i][j]++
					r.excluded[j][i] = r.excluded[i][j]
				}
			}
		}
	}
}

// best is what each CPU did at the best, but for one test that may be wrong.
func (r *run) best(tests []test) []float64 {
	best := make([]float64, len(r.cpus))
	second := make([]float64, len(r.cpus))
	for _, t := range tests {
		for i, rate := range t.rate {
			switch {
			case rate > best[i]:
				best[i], second[i] = rate, best[i]
			case rate > second[i]:
				second[i] = rate
			}
		}
	}
	return second
}

// least is what share of its speed alone a CPU has to reach in some group, or it
// was never without those that share its core. Busy groups cost all CPUs alike,
// as turbo does; so it is nearly what most reach.
func (r *run) least(best []float64) float64 {
	var reached []float64
	for i := range best {
		reached = append(reached, best[i]/r.alone[i].Median)
	}
	slices.Sort(reached)
	return max(unslowed*min(reached[len(reached)*3/4], 1), throttle)
}

// left returns the pairs that are not excluded.
func (r *run) left() (pairs [][2]int) {
	for i := range r.excluded {
		for j := i + 1; j < len(r.excluded); j++ {
			if r.excluded[i][j] < needed {
				pairs = append(pairs, [2]int{i, j})
			}
		}
	}
	return pairs
}

// components returns the CPUs that pairs connect, by index, each two or more.
func components(n int, pairs [][2]int) (groups [][]int) {
	of := make([]int, n)
	for i := range of {
		of[i] = i
	}
	root := func(i int) int {
		for of[i] != i {
			i = of[i]
		}
		return i
	}
	for _, p := range pairs {
		a, b := root(p[0]), root(p[1])
		of[max(a, b)] = min(a, b)
	}
	members := make([][]int, n)
	for i := range of {
		members[root(i)] = append(members[root(i)], i)
	}
	return slices.DeleteFunc(members, func(m []int) bool { return len(m) < 2 })
}
