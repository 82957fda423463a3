// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// checkInvariants fails where a topology is not the nest of partitions that
// every reader of it relies on.
func checkInvariants(t interface {
	Helper()
	Fatalf(string, ...any)
}, top *Topology) {
	t.Helper()
	var nodes []CPUSet
	for _, n := range top.Nodes {
		nodes = append(nodes, n.CPUs)
	}
	for what, parts := range map[string][]CPUSet{"cores": top.Cores, "llcs": top.LLCs, "nodes": nodes} {
		if err := partitions(top.Online, parts, what == "nodes"); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for id, c := range top.CPUs {
		switch {
		case c.ID != id || c.Online != top.Online.Has(id) || c.Online && top.Offline.Has(id):
			t.Fatalf("cpu %d is %+v", id, c)
		case !c.Online && (c.Core != -1 || c.LLC != -1 || c.Package != -1 || top.DomainsOf(id) != nil):
			t.Fatalf("offline cpu %d is %+v in domains %v", id, c, top.DomainsOf(id))
		case c.Online && !(top.Cores[c.Core].Has(id) && top.Cores[c.Core].SubsetOf(top.LLCs[c.LLC])):
			t.Fatalf("cpu %d is %+v: cores %v, llcs %v", id, c, top.Cores, top.LLCs)
		}
	}
	last := Level(0)
	in := make([][]int, len(top.CPUs))
	for i, d := range top.Domains {
		if d.ID != i || d.Level < last || len(d.Groups) < 2 {
			t.Fatalf("domain %d is %+v", i, d)
		}
		if err := partitions(d.CPUs, d.Groups, false); err != nil {
			t.Fatalf("domain %d (%v): %v", i, d.Level, err)
		}
		for _, e := range top.Domains[:i] {
			if d.CPUs.Intersects(e.CPUs) && (!e.CPUs.SubsetOf(d.CPUs) || e.Level == d.Level) {
				t.Fatalf("domain %v does not nest in %v", e, d)
			}
		}
		for cpu := range d.CPUs.All() {
			in[cpu] = append(in[cpu], i)
		}
		last = d.Level
	}
	for cpu, ids := range in {
		if !slices.Equal(ids, top.DomainsOf(cpu)) {
			t.Fatalf("DomainsOf(%d) = %v, want %v", cpu, top.DomainsOf(cpu), ids)
		}
	}
}

// partitions reports how the parts fail to be disjoint, not empty, ascending
// by first CPU and together the whole. Node ids may be in any order.
func partitions(whole CPUSet, parts []CPUSet, nodes bool) error {
	var sum CPUSet
	n, first := 0, -1
	for _, p := range parts {
		if !nodes && p.First() <= first {
			return fmt.Errorf("%v is empty or out of order", p)
		}
		first = p.First()
		sum = sum.Or(p)
		n += p.Count()
	}
	if !sum.Equal(whole) || n != whole.Count() {
		return fmt.Errorf("%v is not a partition of %v", parts, whole)
	}
	return nil
}

// TestBuildAnySource gives build sites that agree on nothing.
func TestBuildAnySource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 4, rapid.ID).Draw(t, "nodes")
		slices.Sort(ids)
		nodes := uniformNodes(len(ids))
		nodes.ids = ids
		n := rapid.IntRange(1, 24).Draw(t, "cpus")
		set := rapid.SliceOf(rapid.IntRange(0, n-1))
		var sites []site
		for cpu := range n {
			s := site{
				cpu: cpu, online: cpu == 0 || rapid.Bool().Draw(t, "online"),
				node: rapid.SampledFrom(ids).Draw(t, "node"), pkg: rapid.IntRange(-1, 2).Draw(t, "pkg"),
				siblings: NewCPUSet(append(set.Draw(t, "siblings"), cpu)...),
			}
			if rapid.Bool().Draw(t, "packaged") {
				s.pkgCPUs = NewCPUSet(append(set.Draw(t, "package"), cpu)...)
			}
			if rapid.Bool().Draw(t, "cached") {
				s.cache = NewCPUSet(append(set.Draw(t, "cache"), cpu)...)
			}
			sites = append(sites, s)
		}
		checkInvariants(t, build(sites, nodes, nil))
	})
}

func TestParseCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.IntRange(1, 8).Draw(t, "sockets")
		l := rapid.IntRange(1, 4).Draw(t, "caches")
		c := rapid.IntRange(1, 16).Draw(t, "cores")
		h := rapid.IntRange(1, 4).Draw(t, "threads")
		top, err := Parse(fmt.Sprintf("%dx%dx%dx%d", s, l, c, h))
		if err != nil {
			t.Fatal(err)
		}
		checkInvariants(t, top)
		got := []int{top.Online.Count(), len(top.Cores), len(top.LLCs), len(top.Nodes)}
		if diff := cmp.Diff([]int{s * l * c * h, s * l * c, s * l, s}, got); diff != "" {
			t.Fatalf("CPUs, cores, caches, nodes (-want +got):\n%s", diff)
		}
		if want := levels(s*l*c*min(h-1, 1), s*l*min(c-1, 1), s*min(l-1, 1), min(s-1, 1)); want != domainCounts(top) {
			t.Fatalf("domains %v, want %v", domainCounts(top), want)
		}
		a, b := rapid.IntRange(0, s*l*c*h-1).Draw(t, "a"), rapid.IntRange(0, s*l*c*h-1).Draw(t, "b")
		if top.SameCore(a, b) != (a/h == b/h) || top.SameLLC(a, b) != (a/h/c == b/h/c) || top.NodeOf(a) != a/h/c/l {
			t.Fatalf("cpus %d and %d: %+v, %+v", a, b, top.CPUs[a], top.CPUs[b])
		}
	})
}

func levels(smt, llc, node, machine int) [NumLevels]int {
	return [NumLevels]int{smt, llc, node, machine}
}

func domainCounts(top *Topology) (n [NumLevels]int) {
	for _, d := range top.Domains {
		n[d.Level]++
	}
	return n
}

func TestParse(t *testing.T) {
	tests := []struct {
		desc, want string
		domains    [NumLevels]int
	}{
		{"1x1x1", "1 CPU, 1 core, 1 last-level cache, 1 node", levels(0, 0, 0, 0)},
		{"1x2x1", "2 CPUs, 2 cores, 1 last-level cache, 1 node", levels(0, 1, 0, 0)},
		{"1x1x2", "2 CPUs, 1 core, 1 last-level cache, 1 node", levels(1, 0, 0, 0)},
		{"2x1x1", "2 CPUs, 2 cores, 2 last-level caches, 2 nodes", levels(0, 0, 0, 1)},
		{"2x14x2", "56 CPUs, 28 cores, 2 last-level caches, 2 nodes", levels(28, 2, 0, 1)},
		{"2x2x8x2", "64 CPUs, 32 cores, 4 last-level caches, 2 nodes", levels(32, 4, 2, 1)},
		{"8x64x2", "1024 CPUs, 512 cores, 8 last-level caches, 8 nodes", levels(512, 8, 0, 1)},
		{"1024x8x1", "8192 CPUs, 8192 cores, 1024 last-level caches, 1024 nodes", levels(0, 1024, 0, 1)},
	}
	for _, tt := range tests {
		top, err := Parse(tt.desc)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.desc, err)
			continue
		}
		if top.String() != tt.want || domainCounts(top) != tt.domains {
			t.Errorf("Parse(%q) = %v with domains %v, want %s with %v", tt.desc, top, domainCounts(top), tt.want, tt.domains)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ desc, want string }{
		{"", "want SOCKETSxCORESxTHREADS"},
		{"2", "want SOCKETSxCORESxTHREADS"},
		{"2x14", "want SOCKETSxCORESxTHREADS"},
		{"1x1x1x1x1", "want SOCKETSxCORESxTHREADS"},
		{"2x0x2", `cores: "0" is not a number from 1 to 8192`},
		{"2x0x2x2", `caches: "0" is not`},
		{"2x-1x2", `cores: "-1" is not`},
		{"2x14x", `threads: "" is not`},
		{"2X14X2", "want SOCKETSxCORESxTHREADS"},
		{"2x14x2\n", `threads: "2\n" is not`},
		{"99999999999999999999x1x1", "sockets: \"99999999999999999999\" is not"},
		{"8192x8192x8192", "more CPUs than the limit of 8192"},
		{"2x4096x2", "more CPUs than the limit of 8192"},
		{"2048x1x1", "2048 sockets are over the limit of 1024 nodes"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.desc)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Parse(%q): %v, want one line with %q", tt.desc, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2x14x2", "2x2x8x2", "0x1x1", "x", "1x1x1x1x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, desc string) {
		if top, err := Parse(desc); err == nil && top.Online.Count() <= 256 {
			checkInvariants(t, top)
		}
	})
}

// TestPaperMachine pins what the paper's host looks like.
func TestPaperMachine(t *testing.T) {
	top, err := Parse("2x14x2")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 28, 30}, top.DomainsOf(3)); diff != "" {
		t.Errorf("DomainsOf(3) (-want +got):\n%s", diff)
	}
	if got := fmt.Sprint(top.Domains[1].Groups, top.Domains[28].Groups[1], top.Domains[30].Groups); got != "[2 3] 2-3 [0-27 28-55]" {
		t.Errorf("groups %s", got)
	}
	if diff := cmp.Diff(NUMA{NUMADirect, 21, [][]int{{10, 21}, {21, 10}}}, top.NUMA); diff != "" {
		t.Errorf("NUMA (-want +got):\n%s", diff)
	}
	if top.Distance(0, 1) != 21 || top.Distance(1, 1) != 10 || top.Distance(0, 2) != 0 || top.Distance(-1, 0) != 0 {
		t.Error("distances are wrong")
	}
	if top.NodeOf(56) != -1 || top.NodeOf(-1) != -1 || top.SameCore(0, 99) || top.SameLLC(-1, 0) || top.DomainsOf(56) != nil {
		t.Error("a CPU that does not exist has a place")
	}
	if n := testing.AllocsPerRun(100, func() { _ = top.DomainsOf(17); _ = top.SameLLC(1, 2) }); n != 0 {
		t.Errorf("a look-up allocates %v times", n)
	}
}

// TestClassify uses the machines that the comment of init_numa_topology_type
// tells apart.
func TestClassify(t *testing.T) {
	tests := []struct {
		name   string
		matrix [][]int
		empty  []int // indices of nodes without CPUs
		want   NUMAType
		max    int
	}{
		{"one node", [][]int{{10}}, nil, NUMADirect, 10},
		{"two nodes", [][]int{{10, 21}, {21, 10}}, nil, NUMADirect, 21},
		{"full mesh", [][]int{{10, 20, 20}, {20, 10, 20}, {20, 20, 10}}, nil, NUMADirect, 20},
		{"ring of four", [][]int{{10, 20, 30, 20}, {20, 10, 20, 30}, {30, 20, 10, 20}, {20, 30, 20, 10}}, nil, NUMAGluelessMesh, 30},
		{"two boards", [][]int{{10, 20, 40, 40}, {20, 10, 40, 40}, {40, 40, 10, 20}, {40, 40, 20, 10}}, nil, NUMABackplane, 40},
		{"far memory only", [][]int{{10, 21, 80}, {21, 10, 80}, {80, 80, 10}}, []int{2}, NUMADirect, 21},
		{"hop without CPUs", [][]int{{10, 20, 30}, {20, 10, 20}, {30, 20, 10}}, []int{1}, NUMADirect, 30},
		{"distance under 10", [][]int{{10, 5}, {5, 10}}, nil, NUMADirect, 0},
		{"not symmetric", [][]int{{10, 20}, {30, 10}}, nil, NUMAGluelessMesh, 30},
	}
	for _, tt := range tests {
		var nodes []NUMANode
		for i := range tt.matrix {
			n := NUMANode{ID: 2 * i} // sparse
			if !slices.Contains(tt.empty, i) {
				n.CPUs.Add(i)
			}
			nodes = append(nodes, n)
		}
		got := classify(nodes, tt.matrix)
		if got.Type != tt.want || got.MaxDistance != tt.max {
			t.Errorf("%s: %v up to %d, want %v up to %d", tt.name, got.Type, got.MaxDistance, tt.want, tt.max)
		}
		if last := len(tt.matrix) - 1; got.distance(0, 2*last) != tt.matrix[0][last] || got.distance(0, 1) != 0 {
			t.Errorf("%s: by nid %v", tt.name, got.Distance)
		}
	}
}
