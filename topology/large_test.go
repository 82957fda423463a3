// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// largeHost is a machine of several sockets as Linux numbers it: the first
// threads of all cores, socket by socket, then their siblings. Sockets of the
// same half are nearer to each other.
func largeHost(sockets, caches, cores, threads int, offline CPUSet) *Topology {
	first := sockets * caches * cores // the first CPU that is a sibling
	var sites []site
	for cpu := range first * threads {
		core := cpu % first
		var siblings, cache CPUSet
		for thread := range threads {
			siblings.Add(core + thread*first)
			for i := range cores {
				cache.Add(core/cores*cores + i + thread*first)
			}
		}
		socket := core / (caches * cores)
		sites = append(sites, site{cpu: cpu, online: !offline.Has(cpu), siblings: siblings, cache: cache, node: socket, pkg: socket})
	}
	nodes := uniformNodes(sockets)
	for i, row := range nodes.distance {
		for j := range row {
			if i != j && i/4 == j/4 {
				row[j] = 16
			}
		}
	}
	return build(sites, nodes, nil)
}

// epyc is 8 sockets of 64 cores in 8 caches, 2 threads each: 1,024 CPUs.
func epyc() *Topology { return largeHost(8, 8, 8, 2, nil) }

// TestReadLarge reads hosts whose sets of CPUs take more than one word, and
// more than the four that small kernels reserve: from lists and from masks.
func TestReadLarge(t *testing.T) {
	for _, tt := range []struct {
		host               *Topology
		core, llc, node    string // the last ones
		domains, possible  int    // possible: the width of masks, 0 for lists
		offline, distances string // distances: of the last node
	}{
		{largeHost(1, 1, 65, 1, nil), "64", "0-64", "0-64", 1, 128, "", "10"},
		{largeHost(2, 2, 12, 2, NewCPUSet(5, 17, 47, 64, 65, 95)), "53", "36-46,84-94", "24-46,72-94", 44 + 4 + 2 + 1, 0, "5,17,47,64-65,95", "16 10"},
		{largeHost(4, 2, 16, 2, nil), "127,255", "112-127,240-255", "96-127,224-255", 128 + 8 + 4 + 1, 0, "", "16 16 16 10"},
		{largeHost(1, 1, 257, 1, nil), "256", "0-256", "0-256", 1, 8192, "", "10"},
		{epyc(), "511,1023", "504-511,1016-1023", "448-511,960-1023", 512 + 64 + 8 + 1, 1024, "", "21 21 21 21 16 16 16 10"},
	} {
		cpus := len(tt.host.CPUs)
		checkInvariants(t, tt.host)
		tree := sysfsOf(tt.host)
		if tt.possible > 0 {
			tree = tree.asMasks(t, tt.possible)
		}
		got, err := readStable(tree.fs())
		if err != nil {
			t.Fatalf("%d CPUs: %v", cpus, err)
		}
		if diff := cmp.Diff(tt.host, got, exported); diff != "" {
			t.Errorf("%d CPUs (-want +got):\n%s", cpus, diff)
		}
		last := func(sets []CPUSet) string { return sets[len(sets)-1].String() }
		n := tt.host.Nodes[len(tt.host.Nodes)-1]
		if core, llc, node := last(tt.host.Cores), last(tt.host.LLCs), n.CPUs.String(); core != tt.core || llc != tt.llc || node != tt.node {
			t.Errorf("%d CPUs: the last core is {%s}, cache {%s}, node {%s}; want {%s} {%s} {%s}", cpus, core, llc, node, tt.core, tt.llc, tt.node)
		}
		row := strings.Trim(fmt.Sprint(slices.Clone(tt.host.Distances[n.ID])), "[]")
		if len(tt.host.Domains) != tt.domains || tt.host.Offline.String() != tt.offline || row != tt.distances {
			t.Errorf("%d CPUs: %d domains, offline {%s}, distances %s; want %d, {%s}, %s",
				cpus, len(tt.host.Domains), tt.host.Offline, row, tt.domains, tt.offline, tt.distances)
		}
	}
}

// TestLargeSets checks sets at the ends of words in both of the kernel's spellings.
func TestLargeSets(t *testing.T) {
	for _, tt := range []struct {
		list, mask string
	}{
		{"64", "1,00000000,00000000"},
		{"0-64", "1,ffffffff,ffffffff"},
		{"63-64,255-256", "1,80000000,00000000,00000000,00000000,00000000,00000001,80000000,00000000"},
		{"0-1023", strings.Repeat("ffffffff,", 31) + "ffffffff"},
		{"0-63,512-575", "ffffffff,ffffffff," + strings.Repeat("00000000,", 14) + "ffffffff,ffffffff"},
		{"0,1023", "80000000," + strings.Repeat("00000000,", 30) + "00000001"},
		{"1024,8191", "80000000," + strings.Repeat("00000000,", 222) + "00000001," + strings.Repeat("00000000,", 31) + "00000000"},
	} {
		list, err := ParseCPUList(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		mask, err := ParseCPUMask([]byte(tt.mask), nil)
		if err != nil || !mask.Equal(list) || mask.String() != tt.list {
			t.Errorf("mask %.40s... is {%s}, %v; want {%s}", tt.mask, mask, err, tt.list)
		}
	}
}
