// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"mllb/topology"
)

// simulated is a machine whose truth is known: by CPU id, on which CPU of its
// host it runs, and the core, cache and node of that.
type simulated struct {
	told                  *topology.Topology
	host, core, llc, node []int
	speed                 []float64
	smt                   float64 // of its work, beside a busy sibling
	turbo                 float64 // lost when all CPUs are busy
	noise                 float64
	busy                  float64                     // chance that other threads disturb a CPU, and it is seen
	stolen                float64                     // the same, unseen: a host's
	steady                []float64                   // share of each CPU that an unseen load takes for good
	change                func(time.Time, *simulated) // what happens meanwhile
	allowed               topology.CPUSet             // of this process
	rng                   *rand.Rand
	now                   time.Time
	works, handoffs       int
}

// flat is a machine of n CPUs of which nothing is hidden.
func flat(n int) *simulated {
	s := &simulated{smt: 0.6, noise: 0.02, now: time.Unix(0, 0), rng: rand.New(rand.NewPCG(1, 1))}
	for cpu := range n {
		s.host, s.core, s.llc, s.node = append(s.host, cpu), append(s.core, cpu), append(s.llc, 0), append(s.node, 0)
		s.speed = append(s.speed, 1)
		s.allowed.Add(cpu)
	}
	s.steady = make([]float64, n)
	return s
}

// tell has the kernel say this, a description for topology.Parse.
func (s *simulated) tell(desc string) *simulated {
	told, err := topology.Parse(desc)
	if err != nil {
		panic(err)
	}
	s.told = told
	return s
}

// machine is one that is as it is told.
func machine(desc string) *simulated {
	told, err := topology.Parse(desc)
	if err != nil {
		panic(err)
	}
	s := flat(told.Online.Count())
	s.told = told
	for cpu := range s.core {
		c := told.CPUs[cpu]
		s.core[cpu], s.llc[cpu], s.node[cpu] = c.Core, c.LLC, c.Node
	}
	return s
}

func (s *simulated) CPUs() (topology.CPUSet, error) { return s.allowed.Clone(), nil }
func (s *simulated) Now() time.Time                 { return s.now }

// pass lets time pass.
func (s *simulated) pass(d time.Duration) {
	s.now = s.now.Add(d)
	if s.change != nil {
		s.change(s.now, s)
	}
}

func (s *simulated) Work(ctx context.Context, cpus []int, d time.Duration) ([]Rate, error) {
	s.works++
	s.pass(d + 200*time.Microsecond + time.Duration(len(cpus))*4*time.Microsecond)
	hosts, cores := map[int]int{}, map[int]map[int]bool{}
	for _, c := range cpus {
		if !s.allowed.Has(c) {
			return nil, &GoneError{c}
		}
		hosts[s.host[c]]++
		if cores[s.core[c]] == nil {
			cores[s.core[c]] = map[int]bool{}
		}
		cores[s.core[c]][s.host[c]] = true
	}
	rates := make([]Rate, len(cpus))
	for k, c := range cpus {
		r := 1e6 * s.speed[c] * (1 - s.turbo*float64(len(cores))/float64(len(s.core)))
		if n := hosts[s.host[c]]; n > 1 {
			r *= (1 + 0.1*s.rng.Float64()) / float64(n) // slices do not fit the time evenly
		}
		if n := len(cores[s.core[c]]); n > 1 {
			r *= s.smt * 2 / float64(n)
		}
		r *= 1 - s.steady[c]
		if s.rng.Float64() < s.busy {
			r, rates[k].Disturbed = r*(0.2+0.6*s.rng.Float64()), true
		}
		if s.rng.Float64() < s.stolen {
			r *= 0.3 + 0.7*s.rng.Float64()
		}
		rates[k].PerSecond = r * (1 + s.noise*s.rng.NormFloat64())
	}
	return rates, ctx.Err()
}

// distance is what a hand-off takes on this machine.
func (s *simulated) distance(a, b int) float64 {
	switch {
	case s.core[a] == s.core[b]:
		return 22
	case s.llc[a] == s.llc[b]:
		return 55
	case s.node[a] == s.node[b]:
		return 110
	}
	return 240
}

func (s *simulated) Handoff(ctx context.Context, a, b int, limit time.Duration) (Handoff, error) {
	s.handoffs++
	for _, c := range []int{a, b} {
		if !s.allowed.Has(c) {
			return Handoff{}, &GoneError{c}
		}
	}
	disturbed := s.rng.Float64() < s.busy
	if s.host[a] == s.host[b] || disturbed && s.rng.IntN(2) == 0 || s.rng.Float64() < s.stolen/5 {
		s.pass(limit)
		return Handoff{Each: 4300 * time.Microsecond, Disturbed: disturbed}, ctx.Err()
	}
	each := s.distance(a, b) * (1 + 2*s.noise*s.rng.NormFloat64())
	s.pass(200*time.Microsecond + time.Duration(1024*each))
	return Handoff{Each: time.Duration(each), Disturbed: disturbed}, ctx.Err()
}

// relation is the truth.
func (s *simulated) relation(a, b int) Relation {
	switch {
	case s.host[a] == s.host[b]:
		return Stacked
	case s.core[a] == s.core[b]:
		return Siblings
	case s.llc[a] == s.llc[b]:
		return SameCache
	case s.node[a] == s.node[b]:
		return SameNode
	}
	return Remote
}

// stack puts CPUs onto others' CPUs of the host.
func (s *simulated) stack(groups ...[]int) *simulated {
	for _, g := range groups {
		for _, c := range g[1:] {
			s.host[c], s.core[c], s.llc[c], s.node[c] = s.host[g[0]], s.core[g[0]], s.llc[g[0]], s.node[g[0]]
		}
	}
	return s
}

// siblings puts CPUs into one core.
func (s *simulated) siblings(groups ...[]int) *simulated {
	for _, g := range groups {
		for _, c := range g[1:] {
			s.core[c], s.llc[c], s.node[c] = s.core[g[0]], s.llc[g[0]], s.node[g[0]]
		}
	}
	return s
}

// every returns n CPUs in groups of size, step apart.
func every(n, size, step int) (groups [][]int) {
	var used []bool = make([]bool, n)
	for first := range n {
		if used[first] {
			continue
		}
		var g []int
		for k := range size {
			if c := first + k*step; c < n {
				g, used[c] = append(g, c), true
			}
		}
		groups = append(groups, g)
	}
	return slices.Clip(groups)
}

func (s *simulated) seeded(seed uint64) *simulated {
	s.rng = rand.New(rand.NewPCG(seed, 7))
	return s
}
