// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"mllb/features"
	"mllb/topology"
)

// CFS is the kernel's own rule: an exact replay of the locality part of
// can_migrate_task() (kernel/sched/fair.c, 6.12).
type CFS struct {
	// TiesNeutral is the one known difference of later kernels (seen on 7.2): where
	// the task's two nodes weigh the same, 6.12's migrate_degrades_locality() takes
	// that for an improvement, theirs for neutral, and task_hot() decides.
	TiesNeutral bool
}

// Name returns "cfs".
func (CFS) Name() string { return "cfs" }

// Decide says what the kernel would have said.
func (r CFS) Decide(d *features.Decision) Verdict {
	hot := r.degradesLocality(d)
	if hot == neutral {
		hot = taskHot(d)
	}
	return Verdict{Migrate: hot == cold || d.NrBalanceFailed > d.CacheNiceTries}
}

// What the two halves of the rule answer; the kernel's -1, 0 and 1.
type heat int8

const (
	neutral heat = iota - 1
	cold
	hot
)

func heatOf(b bool) heat {
	if b {
		return hot
	}
	return cold
}

// degradesLocality is migrate_degrades_locality().
func (r CFS) degradesLocality(d *features.Decision) heat {
	if !d.NUMABalancing || !d.HasFaults || d.Domain&features.SDNUMA == 0 || d.SrcNode == d.DstNode {
		return neutral
	}
	switch d.PreferredNode {
	case features.NoNode: // no nid equals it
	case d.SrcNode:
		if d.SrcNrRunning > d.SrcNrPreferredRunning {
			return hot
		}
		return neutral
	case d.DstNode:
		return cold
	}
	// Of the kinds of idleness only CPU_IDLE is neutral: 6.12 compares where
	// earlier kernels tested for "not CPU_NOT_IDLE".
	if d.Idle == features.Idle {
		return neutral
	}
	faults, total := d.TaskFaults, d.TaskTotalFaults
	if d.HasGroup {
		faults, total = d.GroupFaults, d.GroupTotalFaults
	}
	dst, src := nodeWeight(d, faults, total, d.DstNode), nodeWeight(d, faults, total, d.SrcNode)
	if dst == src && r.TiesNeutral {
		return neutral
	}
	return heatOf(dst < src)
}

// nodeWeight is task_weight() and group_weight(), which differ only in whose
// faults they count: thousandths of the accesses that node nid and, where
// nodes are not all directly connected, the nodes near it got. Unsigned and
// truncating, as in C.
func nodeWeight(d *features.Decision, faults []uint64, total uint64, nid int32) uint64 {
	if total == 0 {
		return 0
	}
	return 1000 * (faultsAt(faults, int(nid)) + nearbyFaults(d, faults, nid)) / total
}

// nearbyFaults is score_nearby_nodes(). Distances between the two nodes of the
// decision limit how far "nearby" reaches on a backplane.
func nearbyFaults(d *features.Decision, faults []uint64, nid int32) uint64 {
	n := d.NUMA
	if n == nil || n.Type == topology.NUMADirect {
		return 0
	}
	limit := nodeDistance(n, d.SrcNode, d.DstNode)
	var score uint64
	for node := range n.Distance {
		dist := nodeDistance(n, nid, int32(node))
		// Distance 0: that node does not exist.
		if dist == 0 || dist >= n.MaxDistance || node == int(nid) {
			continue
		}
		if n.Type == topology.NUMABackplane && dist >= limit {
			continue
		}
		f := faultsAt(faults, node)
		if n.Type == topology.NUMAGluelessMesh && n.MaxDistance != localDistance {
			f = f * uint64(n.MaxDistance-dist) / uint64(n.MaxDistance-localDistance)
		}
		score += f
	}
	return score
}

// localDistance is LOCAL_DISTANCE (include/linux/topology.h).
const localDistance = 10

func nodeDistance(n *topology.NUMA, a, b int32) int {
	if a < 0 || b < 0 || int(a) >= len(n.Distance) || int(b) >= len(n.Distance[a]) {
		return 0
	}
	return n.Distance[a][b]
}

func faultsAt(faults []uint64, nid int) uint64 {
	if nid < 0 || nid >= len(faults) {
		return 0
	}
	return faults[nid]
}

// taskHot is task_hot(). CACHE_HOT_BUDDY is on by default
// (kernel/sched/features.h, 6.12).
func taskHot(d *features.Decision) heat {
	switch {
	case !d.Fair, d.IdlePolicy:
		return cold
	case d.Domain&features.ShareCPUCapacity != 0: // SMT siblings share cache
		return cold
	case d.DstNrRunning > 0 && d.NextBuddy:
		return hot
	case d.MigrationCost == -1:
		return hot
	case d.CookieMismatch:
		return hot
	case d.MigrationCost == 0:
		return cold
	}
	return heatOf(d.Delta < d.MigrationCost)
}
