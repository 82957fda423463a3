// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"cmp"
	"fmt"
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
	Name   string    `json:"name"`
	Rows   int       `json:"decisions"`
	Judges []Answers `json:"judges"`
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

// groups finds the tallies of a row. Most rows are of the run of the last one.
type groups struct {
	tallies [len(dimensions)]map[string]*tally
	domains map[domainKey]*tally
	ranges  bool
	held    map[string]bool
	run     *dataset.Run
	last    [len(dimensions)]*tally
}

// newGroups takes whether the model has ranges, and the runs it held out.
func newGroups(ranges bool, held map[string]bool) *groups {
	g := &groups{domains: make(map[domainKey]*tally), ranges: ranges, held: held}
	for i := range g.tallies {
		g.tallies[i] = make(map[string]*tally)
	}
	return g
}

// of returns the tallies of the row's groups, valid until the next call. inRange
// says whether its features are within the model's ranges.
func (g *groups) of(r *dataset.Row, inRange bool) []*tally {
	if g.run != r.Run {
		g.run = r.Run
		for _, i := range []int{byLoad, byKernel, byTag} {
			g.last[i] = g.get(i, dimensions[i].name(r))
		}
		if g.last[byHeld] = g.get(byHeld, notHeld); g.held[r.Run.ID] {
			g.last[byHeld] = g.get(byHeld, heldOut)
		}
	}
	g.last[byDomain] = g.domain(r)
	g.last[byIdle] = g.get(byIdle, r.Idle.String())
	if g.last[byRange] = g.get(byRange, within); !inRange {
		g.last[byRange] = g.get(byRange, outside)
	}
	return g.last[:]
}

// notHeld is how many decisions are of runs that the model may have learned
// from, where it says.
func (g *groups) notHeld() int {
	if len(g.held) == 0 {
		return 0
	}
	return g.get(byHeld, notHeld)[0].Rows()
}

func (g *groups) domain(r *dataset.Row) *tally {
	key := domainKey{r.DomainLevel, r.DomainName}
	t, ok := g.domains[key]
	if !ok {
		t = g.get(byDomain, domain(r))
		g.domains[key] = t
	}
	return t
}

func (g *groups) get(i int, name string) *tally {
	t, ok := g.tallies[i][name]
	if !ok {
		t = &tally{}
		g.tallies[i][name] = t
	}
	return t
}

// result is the answers of the first n judges by group.
func (g *groups) result(n int) []Breakdown {
	var all []Breakdown
	for i := range dimensions {
		if i == byRange && !g.ranges || i == byHeld && len(g.held) == 0 {
			continue
		}
		b := Breakdown{By: dimensions[i].by}
		for name, t := range g.tallies[i] {
			if rows := t[0].Rows(); rows > 0 {
				b.Groups = append(b.Groups, Group{name, rows, t.answers(n)})
			}
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
