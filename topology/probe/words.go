// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"
	"strings"

	"mllb/topology"
)

// most is how many groups of one kind are named, before the rest is counted.
const most = 4

// Words say where what was found differs from what is told, and what is
// uncertain: a line each. Without any difference the first says so.
func (p *Profile) Words(told *topology.Topology) []string {
	lines := slices.Concat(p.coreWords(told), p.toldApart(told), p.cacheWords(told), p.nodeWords(told))
	doubts := p.doubtWords()
	switch {
	case len(lines) == 0 && !slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.What != "speed" }):
		lines = []string{"nothing hidden: CPUs share what the kernel says"}
	case len(lines) == 0:
		lines = []string{"nothing hidden was found"}
	}
	return slices.Concat(lines, p.speedWords(), doubts)
}

// coreWords name cores that the kernel takes for several.
func (p *Profile) coreWords(told *topology.Topology) (lines []string) {
	hidden := slices.DeleteFunc(slices.Clone(p.Cores), func(c Core) bool { return toldTogether(told, c.CPUs) })
	for _, stacked := range []bool{true, false} {
		var names []string
		low, high, sum := 1.0, 0.0, 0.0
		others := "the other works"
		for _, c := range hidden {
			if c.Stacked != stacked {
				continue
			}
			names = append(names, list(c.CPUs))
			low, high, sum = min(low, c.CoRun.Median), max(high, c.CoRun.Median), sum+c.CoRun.Median
			if c.CPUs.Count() > 2 {
				others = "another works"
			}
		}
		if len(names) == 0 {
			continue
		}
		as := "behave as one"
		if !stacked {
			as = "share a core"
		}
		lines = append(lines, fmt.Sprintf("the kernel says %s; CPUs %s %s: each does %s of its work while %s",
			number(len(told.Cores), "core"), some(names), as, spread(low, high, sum/float64(len(names)), "%.2f"), others))
	}
	return lines
}

// toldApart names cores that the kernel tells of, but whose CPUs do not hinder
// each other.
func (p *Profile) toldApart(told *topology.Topology) (lines []string) {
	var names []string
	for _, core := range told.Cores {
		split := false
		for a := range core.And(p.Probed).All() {
			for b := range core.And(p.Probed).All() {
				relation, sure := p.Relation(a, b)
				split = split || a < b && sure && relation != Stacked && relation != Siblings
			}
		}
		if split {
			names = append(names, list(core))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the kernel says that CPUs %s share a core; they do not hinder each other", some(names))}
}

func (p *Profile) cacheWords(told *topology.Topology) []string {
	return p.partWords(p.LLCs, len(told.LLCs), "last-level cache", SameCache)
}

func (p *Profile) nodeWords(told *topology.Topology) []string {
	return p.partWords(p.Nodes, len(told.Nodes), "node", SameNode)
}

// partWords tell of groups that hand-offs show.
func (p *Profile) partWords(groups []Group, told int, noun string, inside Relation) []string {
	var names []string
	for _, g := range groups {
		if g.Found {
			names = append(names, g.CPUs.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	var within, between []float64
	for _, pair := range p.Pairs {
		switch {
		case pair.Handoff.Median == 0 || pair.Relation == Stacked || pair.Relation == Siblings || pair.Relation == Uncertain:
		case pair.Relation == inside:
			within = append(within, pair.Handoff.Median)
		case !together(groups, pair.A, pair.B):
			between = append(between, pair.Handoff.Median)
		}
	}
	return []string{fmt.Sprintf("the kernel says %s; CPUs %s have one each: a cache line takes %.0f ns within, %.0f ns between them",
		number(told, noun), some(names), interval(within).Median, interval(between).Median)}
}

// slower is what share of the fastest's speed is worth a word. Guests see their
// host's neighbours: a fifth less is common, and gone a second later.
const slower = 0.75

// speedWords name CPUs that are slow even alone.
func (p *Profile) speedWords() (lines []string) {
	var slow topology.CPUSet
	low, high := 1.0, 0.0
	for _, s := range p.Speeds {
		if speed, sure := p.Speed(s.CPU); sure && s.Speed.High < slower*fullSpeed {
			slow.Add(s.CPU)
			low, high = min(low, float64(speed)/fullSpeed), max(high, float64(speed)/fullSpeed)
		}
	}
	if slow.Empty() {
		return nil
	}
	return []string{fmt.Sprintf("%s did %s of the fastest's work, alone and at that time", cpuNoun(slow), spread(low, high, (low+high)/2, "%.2f"))}
}

// doubtQuestions are what is uncertain, by what a doubt is about.
var doubtQuestions = []struct{ what, question string }{
	{"core", "whether CPUs %s share a core"},
	{"cache", "which of CPUs %s share a cache"},
	{"node", "which of CPUs %s share a node"},
	{"speed", "the speed of CPUs %s"},
}

// doubtWords say what is uncertain. Where it is uncertain which CPUs share a
// core, the same of caches goes without saying.
func (p *Profile) doubtWords() (lines []string) {
	cores := slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.What == "core" })
	for _, q := range doubtQuestions {
		if cores && (q.what == "cache" || q.what == "node") {
			continue
		}
		var names []string
		for _, d := range p.Doubts {
			if d.What == q.what {
				names = append(names, list(d.CPUs))
			}
		}
		if len(names) > 0 {
			lines = append(lines, "uncertain: "+fmt.Sprintf(q.question, some(names))+"; other load disturbed it: probe again when it is gone")
		}
	}
	return lines
}

// toldTogether reports whether the kernel says that all are of one core.
func toldTogether(told *topology.Topology, cpus topology.CPUSet) bool {
	first := cpus.First()
	for cpu := range cpus.All() {
		if !told.SameCore(first, cpu) {
			return false
		}
	}
	return true
}

// list names few CPUs one by one.
func list(cpus topology.CPUSet) string {
	if cpus.Count() > most {
		return cpus.String()
	}
	var ids []string
	for cpu := range cpus.All() {
		ids = append(ids, fmt.Sprint(cpu))
	}
	return strings.Join(ids, ",")
}

func cpuNoun(cpus topology.CPUSet) string {
	if cpus.Count() == 1 {
		return "CPU " + cpus.String()
	}
	return "CPUs " + cpus.String()
}

// some joins the first names and counts the rest.
func some(names []string) string {
	if extra := len(names) - most; extra > 0 {
		return fmt.Sprintf("%s and %d more such groups", strings.Join(names[:most], "; "), extra)
	}
	return strings.Join(names, "; ")
}

// spread writes numbers as one, or as their range.
func spread(low, high, middle float64, format string) string {
	a, b := fmt.Sprintf(format, low), fmt.Sprintf(format, high)
	if high-low > 0.02 {
		return a + " to " + b
	}
	return fmt.Sprintf(format, middle)
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
