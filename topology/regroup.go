// SPDX-License-Identifier: Apache-2.0

package topology

// Regroup returns t with other cores, last-level caches and nodes: what was
// measured instead of what the source told. CPUs that none of the sets of a
// kind holds keep what t says of them. Caches that a core spans become one. Nodes are heeded only where t has a
// single one: ids of nodes are the kernel's, and threads prefer nodes by them.
func (t *Topology) Regroup(cores, llcs, nodes []CPUSet) *Topology {
	sites := make([]site, 0, len(t.CPUs))
	for cpu := range t.Online.Or(t.Offline).All() {
		c := t.CPUs[cpu]
		sites = append(sites, site{cpu: cpu, online: c.Online, node: c.Node, pkg: c.Package})
	}
	siblings := t.override(func(c *CPU) CPUSet { return t.Cores[c.Core] }, cores)
	caches := t.override(func(c *CPU) CPUSet { return t.LLCs[c.LLC] }, llcs)
	caches = join(caches, cores)
	table := nodeTable{distance: t.Distances}
	for _, n := range t.Nodes {
		table.ids = append(table.ids, n.ID)
	}
	split := len(t.Nodes) == 1 && len(nodes) > 1
	if split {
		table = uniformNodes(len(nodes))
	}
	for i := range sites {
		s := &sites[i]
		s.siblings, s.cache = siblings[s.cpu], caches[s.cpu] // none of a CPU that is offline
		if split {
			s.node = max(indexOf(nodes, s.cpu), 0)
		}
	}
	return build(sites, table, t.LeftOut)
}

// override maps online CPUs to the set that holds them, or to what is told of
// them without the CPUs that are in another set now.
func (t *Topology) override(told func(*CPU) CPUSet, sets []CPUSet) map[int]CPUSet {
	of := byCPU(sets)
	result := make(map[int]CPUSet, t.Online.Count())
	for cpu := range t.Online.All() {
		if set, ok := of[cpu]; ok {
			result[cpu] = set.And(t.Online)
			continue
		}
		rest := told(&t.CPUs[cpu]).Clone()
		for other := range of {
			rest.Remove(other)
		}
		result[cpu] = rest
	}
	return result
}

// join makes one of the sets that hold CPUs of one core.
func join(of map[int]CPUSet, cores []CPUSet) map[int]CPUSet {
	for _, core := range cores {
		var all CPUSet
		for cpu := range core.All() {
			all = all.Or(of[cpu])
		}
		for cpu := range all.All() {
			of[cpu] = all
		}
	}
	return of
}

func byCPU(sets []CPUSet) map[int]CPUSet {
	of := make(map[int]CPUSet)
	for _, set := range sets {
		for cpu := range set.All() {
			of[cpu] = set
		}
	}
	return of
}

func indexOf(sets []CPUSet, cpu int) int {
	for i, set := range sets {
		if set.Has(cpu) {
			return i
		}
	}
	return -1
}
