// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"slices"
	"sort"
)

// site is what a source says of one CPU, before anything is checked against
// what it says of the others.
type site struct {
	cpu      int
	online   bool
	siblings CPUSet // CPUs of its core, itself among them
	cache    CPUSet // CPUs of its last-level cache; empty: not known
	node     int    // nid, or -1
	pkg      int    // physical package id, or -1: not known
	pkgCPUs  CPUSet // CPUs of its package; empty: not known
}

// nodeTable is the NUMA nodes by ascending id, and distance[i][j] from the
// i-th to the j-th.
type nodeTable struct {
	ids      []int
	distance [][]int
}

// build makes a Topology of what a source says. Sites ascend by CPU, every
// site that is online names a node of the table, and siblings and cache hold
// the site's own CPU. Whatever else they say, the result nests: a cache that
// spans nodes is cut to the node, and a core that spans caches to the cache.
func build(sites []site, nodes nodeTable, out []LeftOut) *Topology {
	t := &Topology{Distances: nodes.distance, LeftOut: out}
	for _, s := range sites {
		for len(t.CPUs) <= s.cpu {
			t.CPUs = append(t.CPUs, CPU{ID: len(t.CPUs), Core: -1, LLC: -1, Node: -1, Package: -1})
		}
		c := &t.CPUs[s.cpu]
		c.Online, c.Node = s.online, s.node
		if s.online {
			c.Package = s.pkg
			t.Online.Add(s.cpu)
		} else {
			t.Offline.Add(s.cpu)
		}
	}
	t.addNodes(nodes.ids)
	t.LLCs = t.partition(sites, t.llcOf(sites), func(c *CPU) *int { return &c.LLC })
	t.Cores = t.partition(sites, func(s *site) [2]int {
		llc := t.CPUs[s.cpu].LLC
		return [2]int{llc, t.first(s.siblings, func(c *CPU) bool { return c.LLC == llc })}
	}, func(c *CPU) *int { return &c.Core })
	t.NUMA = classify(t.Nodes, t.Distances)
	t.addDomains()
	return t
}

func (t *Topology) addNodes(ids []int) {
	index := make(map[int]int, len(ids))
	for i, id := range ids {
		index[id] = i
		t.Nodes = append(t.Nodes, NUMANode{ID: id})
	}
	for cpu := range t.Online.All() {
		t.Nodes[index[t.CPUs[cpu].Node]].CPUs.Add(cpu)
	}
}

// llcOf names the last-level cache of a site: its node and the first CPU that
// shares the cache there. Virtual machines and s390 often describe no caches;
// their packages stand in, so that balancing still has a level below the node.
func (t *Topology) llcOf(sites []site) func(*site) [2]int {
	told := packagesTold(sites)
	packageOf := func(s *site) [3]int {
		first := -1
		if told {
			first = t.first(s.pkgCPUs, func(c *CPU) bool { return c.Node == s.node })
		}
		return [3]int{s.node, s.pkg, first}
	}
	firstOfPackage := map[[3]int]int{}
	for i := range sites {
		s := &sites[i]
		if _, ok := firstOfPackage[packageOf(s)]; !ok && s.online {
			firstOfPackage[packageOf(s)] = s.cpu
		}
	}
	return func(s *site) [2]int {
		if s.cache.Empty() {
			return [2]int{s.node, firstOfPackage[packageOf(s)]}
		}
		return [2]int{s.node, t.first(s.cache, func(c *CPU) bool { return c.Node == s.node })}
	}
}

// packagesTold reports whether the lists of the packages' CPUs say more than
// the cores do. They must then be heeded: s390 has package ids that are unique
// within a book or drawer only, or -1 for all. An architecture that knows no
// packages gives -1 and the CPU itself (include/linux/topology.h, 6.12).
func packagesTold(sites []site) bool {
	return slices.ContainsFunc(sites, func(s site) bool { return s.online && !s.pkgCPUs.SubsetOf(s.siblings) })
}

// first returns the lowest online CPU of set that is in the same part.
func (t *Topology) first(set CPUSet, same func(*CPU) bool) int {
	for cpu := range set.All() {
		if t.Online.Has(cpu) && same(&t.CPUs[cpu]) {
			return cpu
		}
	}
	return -1
}

// partition splits the online CPUs into groups of equal key, which come out
// ascending by first CPU, and stores each CPU's group index. That equal keys
// decide, not the sets themselves, makes it a partition even where the sets
// of a malformed source overlap.
func (t *Topology) partition(sites []site, key func(*site) [2]int, index func(*CPU) *int) []CPUSet {
	var groups []CPUSet
	seen := map[[2]int]int{}
	for i := range sites {
		s := &sites[i]
		if !s.online {
			continue
		}
		k := key(s)
		g, ok := seen[k]
		if !ok {
			g = len(groups)
			seen[k] = g
			groups = append(groups, nil)
		}
		groups[g].Add(s.cpu)
		*index(&t.CPUs[s.cpu]) = g
	}
	return groups
}

// addDomains lists the domains bottom-up. Each level's groups are the whole
// of the level below, degenerate or not.
func (t *Topology) addDomains() {
	var threads, nodes []CPUSet
	for cpu := range t.Online.All() {
		threads = append(threads, NewCPUSet(cpu))
	}
	for _, n := range t.Nodes {
		if !n.CPUs.Empty() {
			nodes = append(nodes, n.CPUs)
		}
	}
	// Node ids need not ascend with CPU numbers; groups must.
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].First() < nodes[j].First() })
	steps := [NumLevels][]CPUSet{SMT: t.Cores, LLC: t.LLCs, Node: nodes, Machine: {t.Online}}
	below := t.balanced(threads)
	for level, spans := range steps {
		spans = t.balanced(spans)
		t.addLevel(Level(level), spans, below)
		below = spans
	}
	t.domainsOf = make([][]int, len(t.CPUs))
	for _, d := range t.Domains {
		for cpu := range d.CPUs.All() {
			t.domainsOf[cpu] = append(t.domainsOf[cpu], d.ID)
		}
	}
}

// balanced returns what is left of sets of CPUs without those that nobody balances.
func (t *Topology) balanced(sets []CPUSet) []CPUSet {
	if len(t.LeftOut) == 0 {
		return sets
	}
	keep := t.Online.Clone()
	for cpu := range AllLeftOut(t.LeftOut).All() {
		keep.Remove(cpu)
	}
	var left []CPUSet
	for _, s := range sets {
		if s = s.And(keep); !s.Empty() {
			left = append(left, s)
		}
	}
	return left
}

// addLevel adds a domain for each span that holds two or more of the groups.
func (t *Topology) addLevel(level Level, spans, groups []CPUSet) {
	owner := make([]int, len(t.CPUs))
	for i, span := range spans {
		for cpu := range span.All() {
			owner[cpu] = i
		}
	}
	members := make([][]CPUSet, len(spans))
	for _, g := range groups {
		i := owner[g.First()]
		members[i] = append(members[i], g)
	}
	for i, span := range spans {
		if len(members[i]) > 1 {
			t.Domains = append(t.Domains, Domain{ID: len(t.Domains), Level: level, CPUs: span, Groups: members[i]})
		}
	}
}
