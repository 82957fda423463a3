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
		all := llc.And(p.Probed)
		if all.Empty() {
			continue
		}
		members := slices.DeleteFunc(slices.Clone(reps), func(i int) bool { return !llc.Has(r.cpus[i]) })
		if len(members) == 0 { // others represent them, which is in doubt
			members = []int{r.index[all.First()]}
		}
		parts, sure, err := r.split(members)
		if err != nil {
			return err
		}
		if sure = sure && !r.doubted(all); !sure {
			r.doubt(all, "cache")
		}
		if !sure || len(parts) == 1 {
			p.LLCs, llcs = append(p.LLCs, Group{CPUs: all}), append(llcs, members)
			continue
		}
		for _, part := range parts {
			p.LLCs, llcs = append(p.LLCs, Group{CPUs: r.set(p, part), Found: true}), append(llcs, part)
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

// doubted reports whether it is uncertain what cores some of the CPUs share: then
// those that represent them may be wrong.
func (r *run) doubted(cpus topology.CPUSet) bool {
	return slices.ContainsFunc(r.doubts, func(d Doubt) bool { return d.What == "core" && d.CPUs.Intersects(cpus) })
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
		if parts = found; !sure || r.doubted(p.Probed) {
			r.doubt(p.Probed, "node")
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
	if len(parts) > 1 && !r.alike(parts) {
		return nil, false, nil
	}
	for _, part := range parts {
		slices.Sort(part)
	}
	slices.SortFunc(parts, func(a, b []int) int { return a[0] - b[0] })
	return parts, true, nil
}

// alike reports whether all parts are of one kind. One that is far from all others
// is more likely disturbed, and where hand-offs take longer than in other parts it
// may be that each has a cache to itself.
func (r *run) alike(parts [][]int) bool {
	shortest, longest := 0.0, 0.0
	for _, part := range parts {
		if len(part) < 2 {
			return false
		}
		p := r.pairs[key(part[0], part[len(part)-1])] // one of them looked
		if p == nil || p.Handoff.Median == 0 {
			return false
		}
		longest = max(longest, p.Handoff.Median)
		if shortest == 0 || p.Handoff.Median < shortest {
			shortest = p.Handoff.Median
		}
	}
	return longest < farther*shortest
}

// near returns the part that one of the members is in; all, if nothing sets them
// apart.
func (r *run) near(members []int, split bool) (near []int, sure bool, err error) {
	pivots := members
	switch n := len(members); {
	case n < 3:
		return members, true, r.row(members[0], members[1:], r.rounds())
	case split: // its others are near, whoever it is
		pivots = members[:1]
	default:
		pivots = []int{members[0], members[n/2], members[n-1]}
	}
	for _, pivot := range pivots {
		closest, state, err := r.look(pivot, members)
		if err != nil || state == disputed {
			return nil, false, err
		}
		if state == found {
			sure, err := r.whole(pivot, closest)
			return append(slices.Clone(closest), pivot), sure, err
		}
	}
	return members, true, nil
}

// whole reports whether nothing sets apart those that are near to some CPU. That
// may be alone in its cache, and see its node where others see their caches.
func (r *run) whole(pivot int, closest []int) (bool, error) {
	part := append(slices.Clone(closest), pivot)
	if len(part) < 3 {
		return true, nil
	}
	for _, other := range []int{closest[0], closest[len(closest)-1]} {
		if _, state, err := r.look(other, part); err != nil || state != uniform {
			return false, err
		}
	}
	return true, nil
}

// look measures the hand-offs from one of the members to the others.
func (r *run) look(pivot int, members []int) (closest []int, state gapState, err error) {
	others := slices.DeleteFunc(slices.Clone(members), func(i int) bool { return i == pivot })
	if err := r.row(pivot, others, r.rounds()); err != nil {
		return nil, disputed, err
	}
	if closest, state = r.gap(pivot, others); state == disputed { // once more
		if err := r.measureRow(pivot, others, 2*r.rounds()-1); err != nil {
			return nil, disputed, err
		}
		closest, state = r.gap(pivot, others)
	}
	return closest, state, nil
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

func (r *run) measureRow(from int, to []int, rounds int) error {
	seen := make([][]float64, len(to))
	for round := range rounds {
		if round > 0 && r.m.Now().After(r.end) {
			break
		}
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
