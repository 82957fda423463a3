// SPDX-License-Identifier: Apache-2.0

package topology

import "fmt"

// cpu returns an online CPU's place, or nil for any other id.
func (t *Topology) cpu(id int) *CPU {
	if id < 0 || id >= len(t.CPUs) || !t.CPUs[id].Online {
		return nil
	}
	return &t.CPUs[id]
}

// DomainsOf returns the ids of the domains that contain a CPU, bottom-up; none
// for a CPU that is offline or does not exist. The slice belongs to t.
func (t *Topology) DomainsOf(cpu int) []int {
	if cpu < 0 || cpu >= len(t.domainsOf) {
		return nil
	}
	return t.domainsOf[cpu]
}

// NodeOf returns the nid of a CPU, or -1 where sysfs gives none.
func (t *Topology) NodeOf(cpu int) int {
	if cpu < 0 || cpu >= len(t.CPUs) {
		return -1
	}
	return t.CPUs[cpu].Node
}

// Distance returns the distance from node a to node b (nids; 10 is local), or
// 0 if either does not exist.
func (t *Topology) Distance(a, b int) int { return t.NUMA.distance(a, b) }

// SameCore reports whether two online CPUs are threads of one core.
func (t *Topology) SameCore(a, b int) bool {
	x, y := t.cpu(a), t.cpu(b)
	return x != nil && y != nil && x.Core == y.Core
}

// SameLLC reports whether two online CPUs share a last-level cache within a
// node.
func (t *Topology) SameLLC(a, b int) bool {
	x, y := t.cpu(a), t.cpu(b)
	return x != nil && y != nil && x.LLC == y.LLC
}

// String counts what is online in one line, such as "56 CPUs, 28 cores,
// 2 last-level caches, 2 nodes", and names what is left out.
func (t *Topology) String() string {
	text := fmt.Sprintf("%s, %s, %s, %s", count(t.Online.Count(), "CPU"), count(len(t.Cores), "core"),
		count(len(t.LLCs), "last-level cache"), count(len(t.Nodes), "node"))
	if len(t.LeftOut) > 0 {
		text += ", left out: " + DescribeLeftOut(t.LeftOut)
	}
	return text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
