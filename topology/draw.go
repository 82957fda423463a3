// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	minWidth = 40 // columns; a narrower picture is no picture
	maxLines = 40 // lines of boxes at the most, before they show less
)

// Draw writes a picture of the topology for people: a box for each node with
// its caches and cores, SMT siblings in one bracket; then the distances
// between nodes and the domains. Lines are at most width columns wide (but 40
// are always used). Machines too large to show every CPU on a screen are shown
// by ranges. The only errors are w's.
func Draw(w io.Writer, t *Topology, width int) error {
	width = max(width, minWidth)
	p := newPicture(t)
	out := wrap(t.String(), width)
	out = append(out, "")
	out = append(out, p.machine(width)...)
	for _, part := range []block{t.distanceLines(width), t.domainLines(width)} {
		if len(part) > 0 {
			out = append(append(out, ""), part...)
		}
	}
	_, err := io.WriteString(w, strings.Join(out, "\n")+"\n")
	return err
}

// picture is a topology with what drawing it asks for again and again.
type picture struct {
	t       *Topology
	digits  int           // of the highest CPU id that is drawn
	llcs    map[int][]int // by nid: indices of its caches
	cores   map[int][]int // by cache: indices of its cores
	offline map[int]CPUSet
}

func newPicture(t *Topology) *picture {
	p := &picture{t: t, llcs: map[int][]int{}, cores: map[int][]int{}, offline: map[int]CPUSet{}}
	for cpu := range t.Online.All() {
		p.digits = len(strconv.Itoa(cpu))
	}
	for i, llc := range p.t.LLCs {
		nid := p.t.CPUs[llc.First()].Node
		p.llcs[nid] = append(p.llcs[nid], i)
	}
	for i, core := range p.t.Cores {
		llc := p.t.CPUs[core.First()].LLC
		p.cores[llc] = append(p.cores[llc], i)
	}
	for cpu := range p.t.Offline.All() {
		nid := p.t.CPUs[cpu].Node
		set := p.offline[nid]
		set.Add(cpu)
		p.offline[nid] = set
	}
	return p
}

// machine draws the nodes in the most detail that fits a screen.
func (p *picture) machine(width int) block {
	var out block
	for _, detail := range []func(int) block{p.withCores, p.withCaches, p.nodesOnly} {
		if out = detail(width); len(out) <= maxLines && out.width() <= width {
			break
		}
	}
	if set := p.offline[-1]; !set.Empty() {
		out = append(out, wrap("× offline, in no node: "+set.String(), width)...)
	}
	return out
}

// withCores draws every CPU: nodes hold boxes of caches, they hold cores.
func (p *picture) withCores(width int) block {
	cell := 0
	for _, core := range p.t.Cores {
		cell = max(cell, len(p.core(core)))
	}
	most := 1
	for _, cores := range p.cores {
		most = max(most, len(cores))
	}
	// Room for three cores, and the title, makes a box worth its frame.
	want := min(most, 3)*(cell+1) - 1
	for i := range p.t.LLCs {
		want = max(want, utf8.RuneCountInString(p.llcTitle(i)))
	}
	return grid(len(p.t.Nodes), width, max(want+frame, p.titles()), func(i, width int) titled {
		n := p.t.Nodes[i]
		llcs := p.llcs[n.ID]
		body := block{}
		if len(llcs) > 0 {
			body = grid(len(llcs), width, want, func(i, width int) titled {
				return titled{p.llcTitle(llcs[i]), p.coreRows(p.cores[llcs[i]], cell, width)}
			})
		}
		return titled{p.nodeTitle(n), append(body, p.nodeNotes(n, width)...)}
	})
}

func (p *picture) coreRows(cores []int, cell, width int) block {
	perRow, _ := fit(len(cores), width, cell, 1)
	var rows block
	for row := range slices.Chunk(cores, perRow) {
		var cells []string
		for _, core := range row {
			cells = append(cells, pad(p.core(p.t.Cores[core]), cell))
		}
		rows = append(rows, strings.TrimRight(strings.Join(cells, " "), " "))
	}
	return rows
}

// core draws SMT siblings side by side, such as "[ 0 28]".
func (p *picture) core(cpus CPUSet) string {
	var ids []string
	for cpu := range cpus.All() {
		ids = append(ids, fmt.Sprintf("%*d", p.digits, cpu))
	}
	return "[" + strings.Join(ids, " ") + "]"
}

// withCaches draws nodes as boxes and their caches as lines in them.
func (p *picture) withCaches(width int) block {
	want := 0
	for i := range p.t.LLCs {
		want = max(want, utf8.RuneCountInString(p.llcLine(i)))
	}
	return grid(len(p.t.Nodes), width, min(max(want, p.titles()), width-frame), func(i, width int) titled {
		n := p.t.Nodes[i]
		var body block
		for _, llc := range p.llcs[n.ID] {
			body = append(body, wrap(p.llcLine(llc), width)...)
		}
		return titled{p.nodeTitle(n), append(body, p.nodeNotes(n, width)...)}
	})
}

// nodesOnly gives a line to each node.
func (p *picture) nodesOnly(width int) block {
	var out block
	for _, n := range p.t.Nodes {
		line := p.nodeTitle(n)
		if llcs := p.llcs[n.ID]; len(llcs) > 0 {
			var cores []int
			for _, llc := range llcs {
				cores = append(cores, p.cores[llc]...)
			}
			line += fmt.Sprintf(" · %s · %s · CPUs %v", count(len(llcs), "LLC"), p.shape(cores), n.CPUs)
		}
		out = append(out, wrap(line, width)...)
		out = append(out, p.nodeNotes(n, width)...)
	}
	return out
}

func (p *picture) nodeTitle(n NUMANode) string {
	title := fmt.Sprintf("node %d", n.ID)
	seen := map[int]bool{}
	for cpu := range n.CPUs.All() {
		if pkg := p.t.CPUs[cpu].Package; pkg >= 0 && !seen[pkg] {
			seen[pkg] = true
			title += fmt.Sprintf(" · package %d", pkg)
		}
	}
	return title
}

// titles is the width of the widest node's title.
func (p *picture) titles() int {
	w := 0
	for _, n := range p.t.Nodes {
		w = max(w, utf8.RuneCountInString(p.nodeTitle(n)))
	}
	return w
}

func (p *picture) llcTitle(llc int) string {
	return fmt.Sprintf("LLC %d · %s", llc, p.shape(p.cores[llc]))
}

func (p *picture) llcLine(llc int) string {
	return fmt.Sprintf("%s · %v", p.llcTitle(llc), p.t.LLCs[llc])
}

// shape counts cores and their threads, such as "14 cores × 2".
func (p *picture) shape(cores []int) string {
	var threads []int
	for _, core := range cores {
		threads = append(threads, p.t.Cores[core].Count())
	}
	if slices.Max(threads) == 1 {
		return count(len(cores), "core")
	}
	return fmt.Sprintf("%s × %s", count(len(cores), "core"), extent(threads))
}

// nodeNotes says of a node what is not in its caches.
func (p *picture) nodeNotes(n NUMANode, width int) block {
	if set := p.offline[n.ID]; !set.Empty() {
		return wrap("× offline: "+set.String(), width)
	}
	if n.CPUs.Empty() {
		return block{"memory only"}
	}
	return nil
}

// extent writes numbers as one, or as their range.
func extent(n []int) string {
	if low, high := slices.Min(n), slices.Max(n); low != high {
		return fmt.Sprintf("%d-%d", low, high)
	}
	return strconv.Itoa(n[0])
}
