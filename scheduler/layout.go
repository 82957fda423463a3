// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"mllb/features"
	"mllb/topology"
)

// layout is a topology as the balance pass walks it.
type layout struct {
	topo     *topology.Topology
	balanced []bool  // by CPU: online, and not left out
	core     []int32 // by CPU, -1 offline
	uneven   bool    // some CPUs share a core, or there are several caches or nodes
	domains  []domain
}

type domain struct {
	id     int
	level  topology.Level
	flags  features.DomainFlags
	tries  uint32 // sd.cache_nice_tries
	ticks  uint8  // ticks in a row that an imbalance must be seen
	cpus   []int32
	groups []group
	pct    []int64 // of nodes: imbalance_pct by source and destination group
}

type group struct { // of 64 bytes, since search walks over all
	cpus     []int32
	load     int64 // sum over its CPUs
	top      int64 // no CPU of it has more load
	capacity int32 // sum of their speeds
	lightest int32 // the least weight of a movable thread on them, or noWeight
	slowest  uint8 // the least of their speeds

	// As a destination in this tick.
	moved bool  // it was given some load
	done  bool  // it can get no more
	quota int64 // load that it may still be given
}

// levels holds what asymmetric caution means at each level: cache_nice_tries
// and imbalance_pct of sd_init() (kernel/sched/topology.c, 6.12), with more of
// the latter the farther away, and for how many ticks an imbalance must last.
var levels = [topology.NumLevels]struct {
	flags features.DomainFlags
	tries uint32
	pct   int64
	ticks uint8
}{
	topology.SMT:     {features.ShareCPUCapacity | features.ShareLLC, 0, 110, 1},
	topology.LLC:     {features.ShareLLC, 1, 117, 1},
	topology.Node:    {0, 1, 125, 2},
	topology.Machine: {0, 2, 125, 3},
}

func newLayout(t *topology.Topology) *layout {
	l := &layout{topo: t, balanced: make([]bool, len(t.CPUs)), core: make([]int32, len(t.CPUs))}
	out := topology.AllLeftOut(t.LeftOut)
	for i := range t.CPUs {
		l.balanced[i], l.core[i] = t.CPUs[i].Online && !out.Has(i), int32(t.CPUs[i].Core)
	}
	l.uneven = uneven(t)
	for i := range t.Domains {
		l.domains = append(l.domains, newDomain(t, &t.Domains[i], i))
	}
	return l
}

func newDomain(t *topology.Topology, from *topology.Domain, id int) domain {
	at := &levels[from.Level]
	d := domain{id: id, level: from.Level, flags: at.flags, tries: at.tries, ticks: at.ticks, cpus: list(from.CPUs)}
	if d.level == topology.Machine && len(t.Nodes) > 1 {
		d.flags |= features.SDNUMA
	}
	for _, g := range from.Groups {
		d.groups = append(d.groups, group{cpus: list(g)})
	}
	if d.level != topology.Machine {
		return d
	}
	for i := range d.groups {
		for j := range d.groups {
			d.pct = append(d.pct, imbalancePct(t, &d, i, j))
		}
	}
	return d
}

// imbalancePct is how loaded, in percent of node j, node i must be. The margin
// grows with their distance: 25 % at 10, 52 % at 21.
func imbalancePct(t *topology.Topology, d *domain, i, j int) int64 {
	pct := levels[d.level].pct
	a, b := t.NodeOf(int(d.groups[i].cpus[0])), t.NodeOf(int(d.groups[j].cpus[0]))
	return 100 + (pct-100)*int64(max(t.Distance(a, b), localDistance))/localDistance
}

func list(s topology.CPUSet) []int32 {
	var cpus []int32
	for cpu := range s.All() {
		cpus = append(cpus, int32(cpu))
	}
	return cpus
}
