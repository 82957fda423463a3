// SPDX-License-Identifier: Apache-2.0

// Package topology tells how the CPUs of a host share hardware: SMT cores,
// last-level caches, NUMA nodes and their distances, and the nested domains
// that load balancing walks.
package topology

// Level is a step of the domain hierarchy, from the closest to the farthest.
type Level uint8

// The levels in the order in which a balance pass walks them. Each names what
// the CPUs of a domain share; its groups are the domains one level down.
const (
	SMT     Level = iota // one core; the groups are its hardware threads
	LLC                  // one last-level cache; the groups are cores
	Node                 // one NUMA node; the groups are last-level caches
	Machine              // the whole host; the groups are NUMA nodes
	NumLevels
)

// String names the level as `mllb topology` prints it.
func (l Level) String() string {
	switch l {
	case SMT:
		return "smt"
	case LLC:
		return "llc"
	case Node:
		return "node"
	case Machine:
		return "machine"
	}
	return "level?"
}

// CPU says where one CPU sits. For a CPU that is offline, Core, LLC and
// Package are -1; Node is what sysfs still says, or -1.
type CPU struct {
	ID      int
	Online  bool
	Core    int // index into Topology.Cores
	LLC     int // index into Topology.LLCs
	Node    int // kernel node id (nid), not an index
	Package int // physical package (socket) id
}

// NUMANode is one NUMA node. A node may have no CPU (memory only).
type NUMANode struct {
	ID   int
	CPUs CPUSet // online CPUs
}

// Domain is a set of CPUs between whose groups load is balanced. Domains with
// a single group are left out, as the kernel leaves out degenerate domains.
type Domain struct {
	ID     int // index into Topology.Domains
	Level  Level
	CPUs   CPUSet
	Groups []CPUSet // disjoint, not empty, together CPUs; ascending by first CPU
}

// Topology is a host's CPUs at one moment. It is not changed after it is
// built: after CPU hotplug a new one is read.
type Topology struct {
	CPUs      []CPU      // indexed by CPU id; ids that do not exist are offline with Node -1
	Online    CPUSet     // CPUs that are online
	Offline   CPUSet     // CPUs that are present or possible but not online
	LeftOut   []LeftOut  // CPUs that are online, but that nobody balances
	Cores     []CPUSet   // online CPUs of each core, ascending by first CPU
	LLCs      []CPUSet   // online CPUs of each last-level cache, within one node
	Nodes     []NUMANode // ascending by ID
	Distances [][]int    // Distances[i][j] from Nodes[i] to Nodes[j]; 10 is local
	Domains   []Domain   // of the CPUs that are balanced, bottom-up: every smt domain, then llc, node, machine
	NUMA      NUMA       // what the kernel derives from the distances

	domainsOf [][]int // by CPU id: see DomainsOf
}

// NUMAType is the kernel's sched_numa_topology_type (kernel/sched/topology.c,
// init_numa_topology_type).
type NUMAType uint8

// The kinds of NUMA topology that the kernel tells apart.
const (
	NUMADirect NUMAType = iota // all nodes are the same distance apart, or there is one
	NUMAGluelessMesh
	NUMABackplane
)

// NUMA is what the locality rule needs to know of the nodes: their distances
// by nid and the kernel's classification of them.
type NUMA struct {
	Type        NUMAType
	MaxDistance int     // sched_max_numa_distance
	Distance    [][]int // indexed by nid; 0 where a nid does not exist
}
