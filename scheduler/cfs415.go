// SPDX-License-Identifier: Apache-2.0

package scheduler

import "mllb/features"

// CFS415 is the rule of the kernel that the paper modified: the locality part
// of can_migrate_task() of Linux 4.15 (kernel/sched/fair.c). Where it differs
// from CFS, the rule of 6.12:
//
//   - every kind of idleness is neutral to NUMA locality, not CPU_IDLE alone;
//   - nodes compare by their faults, not by thousandths with those of the nodes
//     near them (f35678b6a170, 4.19);
//   - SMT siblings have no exception from hotness, and core scheduling no cookie.
//
// 4.15 also called the queue's last buddy hot. 6.12 keeps none, so a Decision
// cannot tell.
type CFS415 struct{}

// Name returns "cfs-4.15".
func (CFS415) Name() string { return "cfs-4.15" }

// Decide says what Linux 4.15 would have said.
func (CFS415) Decide(d *features.Decision) Verdict {
	hot := degradesLocality415(d)
	if hot == neutral {
		hot = taskHot415(d)
	}
	return Verdict{Migrate: hot == cold || d.NrBalanceFailed > d.CacheNiceTries}
}

// degradesLocality415 is migrate_degrades_locality().
func degradesLocality415(d *features.Decision) heat {
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
	if d.Idle != features.NotIdle {
		return neutral
	}
	faults := d.TaskFaults
	if d.HasGroup {
		faults = d.GroupFaults
	}
	return heatOf(faultsAt(faults, int(d.DstNode)) < faultsAt(faults, int(d.SrcNode)))
}

// taskHot415 is task_hot(). CACHE_HOT_BUDDY is on by default there too.
func taskHot415(d *features.Decision) heat {
	switch {
	case !d.Fair, d.IdlePolicy:
		return cold
	case d.DstNrRunning > 0 && d.NextBuddy:
		return hot
	case d.MigrationCost == -1:
		return hot
	case d.MigrationCost == 0:
		return cold
	}
	return heatOf(d.Delta < d.MigrationCost)
}
