// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxNodes bounds node ids: the largest MAX_NUMNODES that any architecture
// allows (include/linux/numa.h, NODES_SHIFT of 10).
const MaxNodes = 1024

// remoteDistance is what firmware and QEMU say of a neighbouring socket, and
// the distance of the lab's guests.
const remoteDistance = 21

var (
	factors3 = []string{"sockets", "cores", "threads"}
	factors4 = []string{"sockets", "caches", "cores", "threads"}
)

// Parse makes the topology of a machine that is described, not read:
// SOCKETSxCORESxTHREADS such as "2x14x2", or SOCKETSxCACHESxCORESxTHREADS
// such as "2x2x8x2", with CACHES last-level caches to the socket and CORES to
// the cache. Each socket is a node, 10 from itself and 21 from the others.
// CPUs are numbered as in the lab's guests: threads of a core are adjacent,
// then cores of a cache, caches of a socket. All are online.
func Parse(desc string) (*Topology, error) {
	f, err := parseFactors(desc)
	if err != nil {
		return nil, fmt.Errorf("topology %q: %w", desc, err)
	}
	sockets, caches, cores, threads := f[0], f[1], f[2], f[3]
	var sites []site
	for socket := range sockets {
		for range caches {
			cache := span(len(sites), cores*threads)
			for range cores {
				core := span(len(sites), threads)
				for range threads {
					sites = append(sites, site{
						cpu: len(sites), online: true, siblings: core, cache: cache, node: socket, pkg: socket,
					})
				}
			}
		}
	}
	return build(sites, uniformNodes(sockets), nil), nil
}

// parseFactors reads both forms into sockets, caches, cores, threads.
func parseFactors(desc string) ([4]int, error) {
	parts, names := strings.Split(desc, "x"), factors3
	if len(parts) == len(factors4) {
		names = factors4
	}
	if len(parts) != len(names) {
		return [4]int{}, fmt.Errorf("want SOCKETSxCORESxTHREADS (2x14x2) or SOCKETSxCACHESxCORESxTHREADS (2x2x8x2)")
	}
	var f []int
	cpus := 1
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16) // 16 bits: the product below cannot overflow
		if err != nil || n == 0 || n > MaxCPUs {
			return [4]int{}, fmt.Errorf("%s: %q is not a number from 1 to %d", names[i], part, MaxCPUs)
		}
		if cpus *= int(n); cpus > MaxCPUs {
			return [4]int{}, fmt.Errorf("more CPUs than the limit of %d", MaxCPUs)
		}
		f = append(f, int(n))
	}
	if f[0] > MaxNodes {
		return [4]int{}, fmt.Errorf("%d sockets are over the limit of %d nodes", f[0], MaxNodes)
	}
	if len(f) == len(factors3) {
		return [4]int{f[0], 1, f[1], f[2]}, nil
	}
	return [4]int(f), nil
}

// span is the set of n CPUs from first on.
func span(first, n int) CPUSet {
	var s CPUSet
	for cpu := first; cpu < first+n; cpu++ {
		s.Add(cpu)
	}
	return s
}

// uniformNodes is n nodes, each as far from every other.
func uniformNodes(n int) nodeTable {
	t := nodeTable{distance: uniformDistances(n, remoteDistance)}
	for i := range n {
		t.ids = append(t.ids, i)
	}
	return t
}

// uniformDistances is the matrix of n nodes, each as far from every other.
func uniformDistances(n, remote int) [][]int {
	var m [][]int
	for i := range n {
		row := slices.Repeat([]int{remote}, n)
		row[i] = localDistance
		m = append(m, row)
	}
	return m
}
