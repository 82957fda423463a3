// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// shades are how relations are drawn, the closest first.
var shades = []struct {
	relation Relation
	shade    string
	colour   int // of 256
	name     string
}{
	{Stacked, "█", 160, "one CPU: they never run at the same time"},
	{Siblings, "▓", 208, "one core"},
	{SameCache, "▒", 71, "a last-level cache"},
	{SameNode, "░", 37, "a node"},
	{Remote, "·", 25, "nothing"},
	{Uncertain, "?", 244, "uncertain"},
}

// Matrix is the pairs of the CPUs that were probed, or where those are more than
// there is room for, of as few neighbours as fit.
type Matrix struct {
	CPUs []int // the first of each row and column
	Each int   // CPUs in one
	p    *Profile
	all  []int
	typ  map[Relation]float64 // the median hand-off of a relation, ns
}

// Matrix returns the matrix with at most so many rows. A cell has a power of two
// of CPUs, as most of what they share.
func (p *Profile) Matrix(rows int) *Matrix {
	m := &Matrix{p: p, all: slices.Collect(p.Probed.All()), typ: make(map[Relation]float64)}
	for m.Each = 1; m.Each*rows < len(m.all); {
		m.Each *= 2
	}
	for i := 0; i < len(m.all); i += m.Each {
		m.CPUs = append(m.CPUs, m.all[i])
	}
	for _, s := range shades {
		handoff, _ := p.typical(s.relation)
		m.typ[s.relation] = handoff.Median
	}
	return m
}

// Relation is the closest that is in a cell, and Uncertain if one is. It is "" of a
// CPU with itself alone.
func (m *Matrix) Relation(row, column int) Relation {
	closest := len(shades)
	for _, a := range m.all[row*m.Each : min((row+1)*m.Each, len(m.all))] {
		for _, b := range m.all[column*m.Each : min((column+1)*m.Each, len(m.all))] {
			if a == b {
				continue
			}
			relation, sure := m.p.Relation(a, b)
			if !sure {
				return Uncertain
			}
			closest = min(closest, shadeOf(relation))
		}
	}
	if closest == len(shades) {
		return ""
	}
	return shades[closest].relation
}

// Handoff is what a hand-off takes in a cell, in ns: that of the pair if it was
// measured, or what is typical of the relation. It is 0 if nothing is known.
func (m *Matrix) Handoff(row, column int) float64 {
	if m.Each == 1 {
		a, b := min(m.CPUs[row], m.CPUs[column]), max(m.CPUs[row], m.CPUs[column])
		i, ok := slices.BinarySearchFunc(m.p.Pairs, [2]int{a, b}, func(p Pair, k [2]int) int { return slices.Compare([]int{p.A, p.B}, k[:]) })
		if ok && m.p.Pairs[i].Handoff.Median > 0 {
			return m.p.Pairs[i].Handoff.Median
		}
	}
	return m.typ[m.Relation(row, column)]
}

func shadeOf(r Relation) int {
	for i := range shades {
		if shades[i].relation == r {
			return i
		}
	}
	return len(shades) - 1
}

// typical is what hand-offs take and what CPUs do beside each other in a relation.
func (p *Profile) typical(r Relation) (handoff, coRun Interval) {
	var handoffs, factors []float64
	for _, pair := range p.Pairs {
		if pair.Relation != r {
			continue
		}
		if pair.Handoff.Median > 0 {
			handoffs = append(handoffs, pair.Handoff.Median)
		}
		if pair.CoRun.Median > 0 {
			factors = append(factors, pair.CoRun.Median)
		}
	}
	return interval(handoffs), interval(factors)
}

// Draw draws the matrix for people, at most so many columns wide.
func (p *Profile) Draw(w io.Writer, width int, colour bool) error {
	digits := len(fmt.Sprint(slices.Max(slices.Collect(p.Probed.All()))))
	cell := digits + 1
	room := max(width-digits-1, 16)
	if p.Probed.Count()*cell > room {
		cell = 1
	}
	m := p.Matrix(room / cell)
	var b strings.Builder
	if cell > 1 {
		fmt.Fprintf(&b, "%*s", digits, "")
		for _, cpu := range m.CPUs {
			fmt.Fprintf(&b, "%*d", cell, cpu)
		}
		b.WriteByte('\n')
	}
	used := make([]bool, len(shades))
	for row, cpu := range m.CPUs {
		fmt.Fprintf(&b, "%*d", digits, cpu)
		if cell == 1 {
			b.WriteByte(' ')
		}
		for column := range m.CPUs {
			relation := m.Relation(row, column)
			if relation == "" {
				fmt.Fprintf(&b, "%*s", cell, "")
				continue
			}
			s := shadeOf(relation)
			used[s] = true
			b.WriteString(strings.Repeat(" ", max(cell-digits, 0)) + paint(strings.Repeat(shades[s].shade, min(digits, cell)), s, colour))
		}
		b.WriteByte('\n')
	}
	if m.Each > 1 {
		fmt.Fprintf(&b, "each cell has %d by %d CPUs, and shows the closest\n", m.Each, m.Each)
	}
	p.legend(&b, used, colour)
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

func paint(text string, shade int, colour bool) string {
	if !colour {
		return text
	}
	return fmt.Sprintf("\x1b[38;5;%dm%s\x1b[0m", shades[shade].colour, text)
}

// legend explains the shades that are used, with what was measured of them.
func (p *Profile) legend(b *strings.Builder, used []bool, colour bool) {
	const column = 47
	for i, s := range shades {
		if !used[i] {
			continue
		}
		text := "share " + s.name
		if s.relation == Uncertain {
			text = s.name
		}
		b.WriteString(paint(s.shade, i, colour) + " " + text)
		if handoff, coRun := p.typical(s.relation); handoff.Median > 0 {
			fmt.Fprintf(b, "%*s hand-off %s", max(column-utf8.RuneCountInString(text), 0), "", duration(handoff.Median))
			if coRun.Median > 0 {
				fmt.Fprintf(b, ", beside the other %.2f of the work", coRun.Median)
			}
		}
		b.WriteByte('\n')
	}
}

// duration writes nanoseconds to two or three digits.
func duration(ns float64) string {
	if ns >= 1e6 {
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
	return fmt.Sprintf("%.0f ns", ns)
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
