// SPDX-License-Identifier: Apache-2.0

package topology

// localDistance and maxDistance bound what the kernel believes of a distance,
// and unknownDistance is what it takes where firmware tells none
// (include/linux/topology.h LOCAL_DISTANCE and REMOTE_DISTANCE;
// kernel/sched/topology.c DISTANCE_BITS, 6.12).
const (
	localDistance   = 10
	unknownDistance = 20
	maxDistance     = 255
)

// String names the type as the kernel does, in lower case.
func (t NUMAType) String() string {
	switch t {
	case NUMADirect:
		return "direct"
	case NUMAGluelessMesh:
		return "glueless_mesh"
	case NUMABackplane:
		return "backplane"
	}
	return "numa_type?"
}

func (n *NUMA) distance(a, b int) int {
	if a < 0 || a >= len(n.Distance) || b < 0 || b >= len(n.Distance) {
		return 0
	}
	return n.Distance[a][b]
}

// classify derives what sched_init_numa and init_numa_topology_type derive
// (kernel/sched/topology.c, 6.12). Both look only at nodes that have CPUs, and
// give up, leaving zeroes, at a distance that makes no sense.
func classify(nodes []NUMANode, distances [][]int) NUMA {
	numa := NUMA{Distance: byNid(nodes, distances)}
	var cpuNodes []int
	for _, n := range nodes {
		if !n.CPUs.Empty() {
			cpuNodes = append(cpuNodes, n.ID)
		}
	}
	levels := map[int]bool{}
	for _, a := range cpuNodes {
		for _, b := range cpuNodes {
			d := numa.Distance[a][b]
			if d < localDistance || d > maxDistance {
				numa.MaxDistance = 0
				return numa
			}
			levels[d] = true
			numa.MaxDistance = max(numa.MaxDistance, d)
		}
	}
	if len(levels) > 2 {
		numa.Type = numa.hops(cpuNodes)
	}
	return numa
}

// hops tells the two kinds of multi-hop machine apart by the first pair of
// nodes that is farthest apart: in a mesh some node lies between them.
func (n *NUMA) hops(cpuNodes []int) NUMAType {
	for _, a := range cpuNodes {
		for _, b := range cpuNodes {
			if n.Distance[a][b] < n.MaxDistance {
				continue
			}
			for _, c := range cpuNodes {
				if n.Distance[a][c] < n.MaxDistance && n.Distance[b][c] < n.MaxDistance {
					return NUMAGluelessMesh
				}
			}
			return NUMABackplane
		}
	}
	return NUMADirect
}

// byNid spreads a matrix by index over one by node id; ids may be sparse.
func byNid(nodes []NUMANode, distances [][]int) [][]int {
	size := 0
	for _, n := range nodes {
		size = max(size, n.ID+1)
	}
	m := make([][]int, size)
	for i := range m {
		m[i] = make([]int, size)
	}
	for i, a := range nodes {
		for j, b := range nodes {
			m[a.ID][b.ID] = distances[i][j]
		}
	}
	return m
}
