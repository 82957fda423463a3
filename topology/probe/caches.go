// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"slices"
	"time"

	"mllb/topology"
)

const (
	// farther is by how much latencies have to grow from one step of the machine
	// to the next; within a large die they grow by less, and gradually.
	farther = 1.5
	// quickLimit is how long to wait for CPUs that run at once.
	quickLimit = 5 * time.Millisecond
	// few CPUs have all pairs in the matrix.
	few = 16
)

// caches splits the caches and the node that the kernel tells of where hand-offs
// within the parts are clearly shorter than between them. What they do not tell
// apart stays as told: memory has nodes that a cache line does not show.
func (r *run) caches(p *Profile) error {
	r.bar.enter(stageCaches)
	reps := r.representatives(p)
	var llcs [][]int
	for k, llc := range r.Told.LLCs {
		members := slices.DeleteFunc(slices.Clone(reps), func(i int) bool { return !llc.Has(r.cpus[i]) })
		if len(members) == 0 {
			continue
		}
		parts, sure, err := r.split(members)
		if err != nil {
			return err
		}
		if !sure {
			r.doubt(r.set(p, members), "cache")
			parts = [][]int{members}
		}
		for _, part := range parts {
			p.LLCs = append(p.LLCs, Group{CPUs: r.set(p, part), Found: len(parts) > 1})
			llcs = append(llcs, part)
		}
		r.bar.step(float64(k+1) / float64(len(r.Told.LLCs)))
	}
	return r.nodes(p, llcs)
}

// representatives are the first CPU of each core, and of what may be one.
func (r *run) representatives(p *Profile) (reps []int) {
	var edges [][2]int
	for _, set := range p.coreSets() {
		edges = append(edges, r.chain(set)...)
	}
	for _, d := range r.doubts {
		if d.What == "core" {
			edges = append(edges, r.chain(d.CPUs)...)
		}
	}
	first := make([]bool, len(r.cpus))
	for i := range first {
		first[i] = true
	}
	for _, members := range components(len(r.cpus), edges) {
		for _, i := range members[1:] {
			first[i] = false
		}
	}
	for i := range r.cpus {
		if first[i] {
			reps = append(reps, i)
		}
	}
	return reps
}

// chain connects the CPUs of a set.
func (r *run) chain(set topology.CPUSet) (edges [][2]int) {
	first := r.index[set.First()]
	for cpu := range set.All() {
		edges = append(edges, [2]int{first, r.index[cpu]})
	}
	return edges
}

// set is the cores of representatives.
func (r *run) set(p *Profile, reps []int) (set topology.CPUSet) {
	for _, i := range reps {
		set.Add(r.cpus[i])
		for _, core := range p.coreSets() {
			if core.Has(r.cpus[i]) {
				set = set.Or(core)
			}
		}
	}
	return set
}

// nodes looks for nodes of a machine that is said to have one, and completes the
// matrix of a small one.
func (r *run) nodes(p *Profile, llcs [][]int) error {
	var heads []int
	for _, llc := range llcs {
		heads = append(heads, llc[0])
	}
	parts := [][]int{heads}
	if len(r.Told.Nodes) == 1 {
		found, sure, err := r.split(heads)
		if err != nil {
			return err
		}
		if parts = found; !sure {
			r.doubt(r.set(p, heads), "node")
			parts = [][]int{heads}
		}
	}
	if len(parts) > 1 {
		for _, part := range parts {
			var set topology.CPUSet
			for k := range llcs {
				if slices.Contains(part, llcs[k][0]) {
					set = set.Or(p.LLCs[k].CPUs)
				}
			}
			p.Nodes = append(p.Nodes, Group{CPUs: set, Found: true})
		}
	} else {
		for _, n := range r.Told.Nodes {
			if set := n.CPUs.And(p.Probed); !set.Empty() {
				p.Nodes = append(p.Nodes, Group{CPUs: set})
			}
		}
	}
	if len(r.cpus) > few {
		return r.matrix(heads[:min(len(heads), few)])
	}
	all := make([]int, len(r.cpus))
	for i := range all {
		all[i] = i
	}
	return r.matrix(all)
}

// matrix measures the pairs that are not measured yet.
func (r *run) matrix(members []int) error {
	for k, i := range members {
		if err := r.row(i, members[k+1:], 3); err != nil {
			return err
		}
	}
	return nil
}

// split parts CPUs by their hand-offs. It starts at one of them: those to which
// its hand-offs are clearly shorter than to others are a part. sure is false
// where latencies do not make up their minds.
func (r *run) split(members []int) (parts [][]int, sure bool, err error) {
	rest := slices.Clone(members)
	for len(rest) > 0 {
		near, sure, err := r.near(rest, len(parts) > 0)
		if err != nil || !sure {
			return nil, false, err
		}
		parts = append(parts, slices.Clone(near))
		rest = slices.DeleteFunc(rest, func(i int) bool { return slices.Contains(near, i) })
	}
	if len(parts) > 1 && slices.ContainsFunc(parts, func(part []int) bool { return len(part) < 2 }) {
		return nil, false, nil // one that is far from all others is more likely disturbed
	}
	for _, part := range parts {
		slices.Sort(part)
	}
	slices.SortFunc(parts, func(a, b []int) int { return a[0] - b[0] })
	return parts, true, nil
}

// near returns the part that one of the members is in; all, if nothing sets them
// apart.
func (r *run) near(members []int, split bool) (near []int, sure bool, err error) {
	if len(members) < 3 {
		return members, true, nil
	}
	pivots := []int{members[0], members[len(members)/2], members[len(members)-1]}
	if split { // its others are near, whoever it is
		pivots = pivots[:1]
	}
	for _, pivot := range pivots {
		others := slices.DeleteFunc(slices.Clone(members), func(i int) bool { return i == pivot })
		if err := r.row(pivot, others, r.rounds()); err != nil {
			return nil, false, err
		}
		closest, state := r.gap(pivot, others)
		if state == disputed { // once more
			if err := r.again(pivot, others); err != nil {
				return nil, false, err
			}
			closest, state = r.gap(pivot, others)
		}
		switch state {
		case disputed:
			return nil, false, nil
		case found:
			return append(closest, pivot), true, nil
		}
	}
	return members, true, nil
}

// rounds is how often a row is measured.
func (r *run) rounds() int {
	if len(r.cpus) > 128 {
		return 3
	}
	return minRounds
}

// gapState is what a row of latencies shows.
type gapState int

const (
	uniform gapState = iota
	found
	disputed
)

// gap returns those to which the hand-offs are clearly shorter than to the rest.
func (r *run) gap(pivot int, others []int) (near []int, state gapState) {
	sorted := slices.Clone(others)
	latency := func(i int) Interval { return r.pairs[key(pivot, i)].Handoff }
	slices.SortFunc(sorted, func(a, b int) int { return int(latency(a).Median - latency(b).Median) })
	if latency(sorted[0]).Median == 0 {
		return nil, disputed // never undisturbed
	}
	for k := 1; k < len(sorted); k++ {
		if latency(sorted[k]).Median < farther*latency(sorted[k-1]).Median {
			continue
		}
		high, low := 0.0, latency(sorted[k]).Low
		for _, i := range sorted[:k] {
			high = max(high, latency(i).High)
		}
		for _, i := range sorted[k:] {
			low = min(low, latency(i).Low)
		}
		if low <= high {
			return nil, disputed
		}
		return sorted[:k], found
	}
	return nil, uniform
}

// row measures the hand-offs from one CPU to others, in rounds.
func (r *run) row(from int, to []int, rounds int) error {
	missing := slices.DeleteFunc(slices.Clone(to), func(i int) bool { return r.pairs[key(from, i)] != nil })
	return r.measureRow(from, missing, rounds)
}

// again measures a row anew, longer.
func (r *run) again(from int, to []int) error { return r.measureRow(from, to, 2*r.rounds()-1) }

func (r *run) measureRow(from int, to []int, rounds int) error {
	seen := make([][]float64, len(to))
	for range rounds {
		for k, i := range to {
			h, err := r.m.Handoff(r.ctx, r.cpus[from], r.cpus[i], quickLimit)
			if err != nil {
				return err
			}
			if h.Each <= atOnce && h.Each > 0 {
				seen[k] = append(seen[k], float64(h.Each))
			}
		}
	}
	for k, i := range to {
		p := r.pairs[key(from, i)]
		if p == nil {
			p = &Pair{A: r.cpus[min(from, i)], B: r.cpus[max(from, i)]}
			r.pairs[key(from, i)] = p
		}
		p.Handoff = interval(seen[k])
	}
	return nil
}

func key(i, j int) [2]int { return [2]int{min(i, j), max(i, j)} }
