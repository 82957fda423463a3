// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mllb/learn/dataset"
)

// Breakdown is the answers by one property of the decisions.
type Breakdown struct {
	By     string  `json:"by"`
	Groups []Group `json:"groups"`
}

// Group is the decisions of one kind.
type Group struct {
	Name      string     `json:"name"`
	Rows      int        `json:"decisions"`
	Runs      int        `json:"runs"`
	Judges    []Answers  `json:"judges"`
	Intervals []Interval `json:"balanced_accuracy_95"` // by judge
}

// The properties by which decisions are told apart.
const (
	byLoad = iota
	byDomain
	byIdle
	byKernel
	byTag
	byRange // with a model that has ranges
	byHeld  // with a model that names runs held out
)

var dimensions = [...]struct {
	by   string
	name func(r *dataset.Row) string
}{
	byLoad:   {"load", func(r *dataset.Row) string { return r.Run.Load }},
	byDomain: {"domain", domain},
	byIdle:   {"idle type", func(r *dataset.Row) string { return r.Idle.String() }},
	byKernel: {"kernel", func(r *dataset.Row) string { return r.Run.Kernel }},
	byTag:    {"tag", func(r *dataset.Row) string { return r.Run.Tag }},
	byRange:  {"training range", nil},
	byHeld:   {"run", nil},
}

// domain names the level of the sched domain, from 0, and what the kernel calls it.
func domain(r *dataset.Row) string {
	name, _, _ := bytes.Cut(r.DomainName[:], []byte{0})
	return fmt.Sprintf("%d %s", r.DomainLevel, name)
}

// domainKey is a domain without the cost of a string.
type domainKey struct {
	level uint8
	name  [16]byte
}

// What decisions are by byRange and byHeld.
const (
	within  = "every feature within"
	outside = "a feature outside"
	heldOut = "held out"
	notHeld = "not held out"
)

// groups has the tallies of each run by itself: decisions of one run are alike, so
// intervals are over runs. Most rows are of the run of the last one.
type groups struct {
	ranges bool
	held   map[string]bool
	runs   map[string]*runGroups
	run    *dataset.Run
	at     *runGroups
}

// runGroups is the tallies of a run, and of each group of its rows.
type runGroups struct {
	all     *tally
	tallies [len(dimensions)]map[string]*tally
	domains map[domainKey]*tally
	last    [len(dimensions)]*tally
}

// newGroups takes whether the model has ranges, and the runs it held out.
func newGroups(ranges bool, held map[string]bool) *groups {
	return &groups{ranges: ranges, held: held, runs: make(map[string]*runGroups)}
}

// of returns the tallies of the row's groups, valid until the next call. inRange
// says whether its features are within the model's ranges.
func (g *groups) of(r *dataset.Row, inRange bool) []*tally {
	if g.run != r.Run {
		g.run = r.Run
		g.enter(r)
	}
	at := g.at
	at.last[byDomain] = at.domain(r)
	at.last[byIdle] = at.get(byIdle, r.Idle.String())
	if at.last[byRange] = at.get(byRange, within); !inRange {
		at.last[byRange] = at.get(byRange, outside)
	}
	return at.last[:]
}

// enter goes to the run of a row.
func (g *groups) enter(r *dataset.Row) {
	at := g.runs[r.Run.ID]
	if at == nil {
		at = &runGroups{all: &tally{}, domains: make(map[domainKey]*tally)}
		for i := range at.tallies {
			at.tallies[i] = make(map[string]*tally)
		}
		g.runs[r.Run.ID] = at
	}
	for _, i := range []int{byLoad, byKernel, byTag} {
		at.last[i] = at.get(i, dimensions[i].name(r))
	}
	if at.last[byHeld] = at.get(byHeld, notHeld); g.held[r.Run.ID] {
		at.last[byHeld] = at.get(byHeld, heldOut)
	}
	g.at = at
}

// notHeld is how many decisions are of runs that the model may have learned
// from, where it says.
func (g *groups) notHeld() (rows int) {
	if len(g.held) == 0 {
		return 0
	}
	for _, run := range g.runs {
		rows += run.get(byHeld, notHeld)[0].Rows()
	}
	return rows
}

func (g *runGroups) domain(r *dataset.Row) *tally {
	key := domainKey{r.DomainLevel, r.DomainName}
	t, ok := g.domains[key]
	if !ok {
		t = g.get(byDomain, domain(r))
		g.domains[key] = t
	}
	return t
}

func (g *runGroups) get(i int, name string) *tally {
	t, ok := g.tallies[i][name]
	if !ok {
		t = &tally{}
		g.tallies[i][name] = t
	}
	return t
}

// by is the tallies of the runs in each group.
func (g *groups) by(i int) map[string]sample {
	found := make(map[string]sample)
	for _, id := range slices.Sorted(maps.Keys(g.runs)) {
		for name, t := range g.runs[id].tallies[i] {
			if t[0].Rows() > 0 {
				found[name] = append(found[name], t)
			}
		}
	}
	return found
}

// all is the tallies of the runs.
func (g *groups) all() (s sample) {
	for _, id := range slices.Sorted(maps.Keys(g.runs)) {
		s = append(s, g.runs[id].all)
	}
	return s
}

// result is the answers of the first n judges by group.
func (g *groups) result(n int) []Breakdown {
	var all []Breakdown
	for i := range dimensions {
		if i == byRange && !g.ranges || i == byHeld && len(g.held) == 0 {
			continue
		}
		b := Breakdown{By: dimensions[i].by}
		for name, runs := range g.by(i) {
			sum := runs.sum()
			b.Groups = append(b.Groups, Group{name, sum[0].Rows(), len(runs), sum.answers(n), runs.intervals(n)})
		}
		slices.SortFunc(b.Groups, func(a, b Group) int { return natural(a.Name, b.Name) })
		all = append(all, b)
	}
	return all
}

// natural orders numbers as numbers, and before names.
func natural(a, b string) int {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errA == nil && errB == nil {
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	}
	if errA == nil || errB == nil {
		if errA == nil {
			return -1
		}
		return 1
	}
	return cmp.Compare(a, b)
}
