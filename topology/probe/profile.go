// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"math"
	"slices"

	"mllb/topology"
)

// Relation is what two CPUs share.
type Relation string

// The relations, from the closest to the farthest.
const (
	Stacked   Relation = "stacked"  // one CPU: they never run at the same time
	Siblings  Relation = "siblings" // one core
	Apart     Relation = "apart"    // no core
	SameCache Relation = "llc"      // a last-level cache
	SameNode  Relation = "node"     // a NUMA node
	Remote    Relation = "remote"   // nothing
	Uncertain Relation = "uncertain"
)

// Profile is what a probe found of a machine.
type Profile struct {
	Schema   int             `json:"schema"`
	Digest   string          `json:"digest"` // of all else
	Host     string          `json:"host"`   // tells machines apart, and does not give the machine id away
	Boot     string          `json:"boot"`
	Date     string          `json:"date"`
	Kernel   string          `json:"kernel"`
	By       string          `json:"created_by"`
	Possible topology.CPUSet `json:"possible"`
	Online   topology.CPUSet `json:"online"`
	Probed   topology.CPUSet `json:"probed"`
	Speeds   []Speed         `json:"speeds"`
	Cores    []Core          `json:"cores"` // of two CPUs and more
	LLCs     []Group         `json:"llcs"`
	Nodes    []Group         `json:"nodes"`
	Doubts   []Doubt         `json:"doubts"`
	Pairs    []Pair          `json:"pairs"` // that were measured one by one
}

// Speed is what a CPU does alone, of 1024 for the machine's fastest.
type Speed struct {
	CPU   int      `json:"cpu"`
	Speed Interval `json:"speed"`
}

// Core is CPUs that share a core, and what share of its work each does while
// another works.
type Core struct {
	CPUs    topology.CPUSet `json:"cpus"`
	Stacked bool            `json:"stacked"` // some take turns
	CoRun   Interval        `json:"co_run"`
}

// Group is CPUs that share a cache or a node; not Found ones are as told.
type Group struct {
	CPUs  topology.CPUSet `json:"cpus"`
	Found bool            `json:"found"`
}

// Doubt is CPUs of which it is uncertain how they share cores or caches, or what
// their speed is.
type Doubt struct {
	CPUs topology.CPUSet `json:"cpus"`
	What string          `json:"what"` // core, cache, node or speed
}

// Pair is two CPUs that were measured. A co-run factor of 0 was not.
type Pair struct {
	A        int      `json:"a"`
	B        int      `json:"b"`
	Relation Relation `json:"relation"`
	Handoff  Interval `json:"handoff_ns"`
	CoRun    Interval `json:"co_run"`
}

// profile begins what is to be returned.
func (r *run) profile() *Profile {
	p := &Profile{Schema: Schema, Cores: []Core{}, Doubts: []Doubt{}, Online: r.Told.Online, Possible: r.Told.Online.Or(r.Told.Offline)}
	fastest := 0.0
	for _, a := range r.alone {
		fastest = max(fastest, a.Median)
	}
	for i, cpu := range r.cpus {
		p.Probed.Add(cpu)
		s := r.alone[i].scaled(fullSpeed / fastest)
		p.Speeds = append(p.Speeds, Speed{cpu, Interval{max(math.Round(s.Median), 1), math.Round(s.Low), math.Round(s.High)}})
	}
	for _, set := range r.cores() {
		core := Core{CPUs: set, CoRun: Interval{Low: math.Inf(1)}}
		n := 0.0
		for _, key := range r.measured() {
			pair := r.pairs[key]
			if !set.Has(pair.A) || !set.Has(pair.B) {
				continue
			}
			core.Stacked = core.Stacked || pair.Relation == Stacked
			core.CoRun.Median += pair.CoRun.Median
			core.CoRun.Low, core.CoRun.High = min(core.CoRun.Low, pair.CoRun.Low), max(core.CoRun.High, pair.CoRun.High)
			n++
		}
		core.CoRun.Median /= n
		p.Cores = append(p.Cores, core)
	}
	return p
}

func (p *Profile) coreSets() (sets []topology.CPUSet) {
	for _, c := range p.Cores {
		sets = append(sets, c.CPUs)
	}
	return sets
}

// addPairs lists the pairs, with what they share.
func (r *run) addPairs(p *Profile) {
	for _, pair := range r.pairs {
		if pair.Relation == "" || pair.Relation == Apart {
			pair.Relation, _ = p.Relation(pair.A, pair.B)
		}
		p.Pairs = append(p.Pairs, *pair)
	}
	slices.SortFunc(p.Pairs, func(a, b Pair) int { return cmp.Or(a.A-b.A, a.B-b.B) })
}

// Relation is what two CPUs that were probed share, and whether that is sure.
func (p *Profile) Relation(a, b int) (relation Relation, sure bool) {
	sure = true
	for _, d := range p.Doubts {
		if !d.CPUs.Has(a) || !d.CPUs.Has(b) {
			continue
		}
		switch d.What {
		case "core":
			return Uncertain, false
		case "cache", "node":
			sure = false
		}
	}
	for _, c := range p.Cores {
		if !c.CPUs.Has(a) || !c.CPUs.Has(b) {
			continue
		}
		for _, pair := range p.Pairs {
			if pair.A == min(a, b) && pair.B == max(a, b) {
				return pair.Relation, true
			}
		}
		return Siblings, true
	}
	if together(p.LLCs, a, b) {
		return SameCache, sure
	}
	if together(p.Nodes, a, b) {
		return SameNode, sure
	}
	return Remote, sure
}

// fullSpeed is the speed of the machine's fastest CPU.
const fullSpeed = 1024

// Speed is what a CPU does alone, of 1024 for the machine's fastest, and whether
// that is sure; 0 of a CPU that was not probed.
func (p *Profile) Speed(cpu int) (speed uint32, sure bool) {
	for _, s := range p.Speeds {
		if s.CPU == cpu {
			doubted := slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.What == "speed" && d.CPUs.Has(cpu) })
			return uint32(s.Speed.Median), !doubted
		}
	}
	return 0, false
}

func together(groups []Group, a, b int) bool {
	return slices.ContainsFunc(groups, func(g Group) bool { return g.CPUs.Has(a) && g.CPUs.Has(b) })
}

// Over is what is told of a machine with what was found of it. What is uncertain
// stays as told, and so do CPUs that were not probed.
func (p *Profile) Over(told *topology.Topology) *topology.Topology {
	cores := p.coreSets()
	var settled topology.CPUSet // in a group, or in doubt
	for _, core := range cores {
		settled = settled.Or(core)
	}
	for _, d := range p.Doubts {
		if d.What == "core" {
			settled = settled.Or(d.CPUs)
		}
	}
	for cpu := range p.Probed.And(told.Online).All() {
		if !settled.Has(cpu) && told.Cores[told.CPUs[cpu].Core].SubsetOf(p.Probed) {
			cores = append(cores, topology.NewCPUSet(cpu))
		}
	}
	return told.Regroup(cores, sets(p.LLCs), sets(p.Nodes))
}

// sets are the groups that the kernel did not tell of.
func sets(groups []Group) (found []topology.CPUSet) {
	for _, g := range groups {
		if g.Found {
			found = append(found, g.CPUs)
		}
	}
	return found
}

// Topology is this host's topology with what was found of it.
func (p *Profile) Topology() (*topology.Topology, error) {
	told, err := topology.Read("/")
	if err != nil {
		return nil, err
	}
	return p.Over(told), nil
}
