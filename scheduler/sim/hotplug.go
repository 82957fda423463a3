// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"

	"mllb/topology"
)

// SetOnline plugs a CPU in or out. The last one stays. Threads of a CPU that
// goes move to one that they are allowed on.
func (h *Host) SetOnline(cpu int, online bool) error {
	set := h.topo.Online.Clone()
	if online {
		set.Add(cpu)
	} else {
		set.Remove(cpu)
	}
	if !h.full.Online.Has(cpu) || set.Empty() {
		return fmt.Errorf("cpu %d does not exist or is the last one", cpu)
	}
	h.cpus[cpu].online = online
	h.topo = restrict(h.full, set)
	for _, t := range append([]*thread(nil), h.cpus[cpu].queue...) {
		h.settle(t)
	}
	return nil
}

// restrict returns full with only the CPUs of set online.
func restrict(full *topology.Topology, set topology.CPUSet) *topology.Topology {
	t := *full
	t.Online, t.Offline = set, full.Online.And(invert(set, len(full.CPUs)))
	t.CPUs = append([]topology.CPU(nil), full.CPUs...)
	t.Cores, t.LLCs = keep(full.Cores, set), keep(full.LLCs, set)
	for i := range t.CPUs {
		c := &t.CPUs[i]
		c.Online, c.Core, c.LLC = set.Has(i), index(t.Cores, i), index(t.LLCs, i)
		if !c.Online {
			c.Package = -1
		}
	}
	t.Nodes = append([]topology.NUMANode(nil), full.Nodes...)
	for i := range t.Nodes {
		t.Nodes[i].CPUs = t.Nodes[i].CPUs.And(set)
	}
	t.Domains = nil
	for _, d := range full.Domains {
		if groups := keep(d.Groups, set); len(groups) > 1 {
			t.Domains = append(t.Domains, topology.Domain{ID: len(t.Domains), Level: d.Level, CPUs: d.CPUs.And(set), Groups: groups})
		}
	}
	return &t
}

func keep(sets []topology.CPUSet, in topology.CPUSet) (kept []topology.CPUSet) {
	for _, s := range sets {
		if s.Intersects(in) {
			kept = append(kept, s.And(in))
		}
	}
	return kept
}

func invert(s topology.CPUSet, n int) topology.CPUSet {
	var r topology.CPUSet
	for i := range n {
		if !s.Has(i) {
			r.Add(i)
		}
	}
	return r
}

func index(sets []topology.CPUSet, cpu int) int {
	for i, s := range sets {
		if s.Has(cpu) {
			return i
		}
	}
	return -1
}
