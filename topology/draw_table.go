// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"slices"
)

// distanceLines is the matrix of distances, or where it does not fit the width
// how often each distance occurs. A single node needs neither.
func (t *Topology) distanceLines(width int) block {
	if len(t.Nodes) < 2 {
		return nil
	}
	title := wrap(fmt.Sprintf("distances (%v, CPUs at most %d apart)", t.NUMA.Type, t.NUMA.MaxDistance), width)
	head := fmt.Sprintf("%-10s", "  from to")
	var rows block
	for i, n := range t.Nodes {
		head += fmt.Sprintf("%5d", n.ID)
		row := fmt.Sprintf("  node %-3d", n.ID)
		for _, d := range t.Distances[i] {
			row += fmt.Sprintf("%5d", d)
		}
		rows = append(rows, row)
	}
	if len(head) > width {
		return append(title, t.distanceCounts()...)
	}
	return append(append(title, head), rows...)
}

func (t *Topology) distanceCounts() block {
	pairs := map[int]int{}
	for _, row := range t.Distances {
		for _, d := range row {
			pairs[d]++
		}
	}
	var out block
	for d := range maxDistance + 1 {
		if pairs[d] > 0 {
			out = append(out, fmt.Sprintf("  %3d: %d of %d pairs", d, pairs[d], len(t.Nodes)*len(t.Nodes)))
		}
	}
	return out
}

// levelNames say what a level's groups are, and why it has no domain.
var levelNames = [NumLevels]struct{ group, none string }{
	SMT:     {"thread", "no core has two threads"},
	LLC:     {"core", "no last-level cache has two cores"},
	Node:    {"last-level cache", "no node has two last-level caches"},
	Machine: {"node", "one node has all CPUs"},
}

// domainLines counts the domains by level, their CPUs and their groups.
func (t *Topology) domainLines(width int) block {
	var sizes, groups [NumLevels][]int
	for _, d := range t.Domains {
		sizes[d.Level] = append(sizes[d.Level], d.CPUs.Count())
		groups[d.Level] = append(groups[d.Level], len(d.Groups))
	}
	out := block{"domains    count   CPUs  groups in each"}
	for level, names := range levelNames {
		line := fmt.Sprintf("  %-7s  %5s  %5s  %s", Level(level), "-", "-", names.none)
		if n := len(sizes[level]); n > 0 {
			noun := names.group
			if slices.Max(groups[level]) > 1 {
				noun += "s"
			}
			line = fmt.Sprintf("  %-7s  %5d  %5s  %s %s", Level(level), n, extent(sizes[level]), extent(groups[level]), noun)
		}
		out = append(out, clip(line, width))
	}
	return out
}
