// SPDX-License-Identifier: Apache-2.0

// Package features holds what a migration decision sees: the raw Decision, the
// named feature sets derived from it, and the host snapshots that the balance
// pass reads.
package features

import "mllb/topology"

// IdleType is the idleness of the destination CPU, by name: the kernel's enum
// cpu_idle_type was renumbered between 6.1 and 6.12.
type IdleType uint8

// What the destination CPU was doing when it asked for load.
const (
	NotIdle IdleType = iota
	Idle
	NewlyIdle
)

// String names the type as the kernel does, in lower case.
func (t IdleType) String() string {
	switch t {
	case NotIdle:
		return "not_idle"
	case Idle:
		return "idle"
	case NewlyIdle:
		return "newly_idle"
	}
	return "idle_type?"
}

// DomainFlags are the flags of the sched domain being balanced that the
// decision depends on (include/linux/sched/sd_flags.h, 6.12).
type DomainFlags uint8

// The sched domain flags, by the names of 6.12.
const (
	ShareCPUCapacity DomainFlags = 1 << iota // SD_SHARE_CPUCAPACITY: SMT siblings
	ShareLLC                                 // SD_SHARE_LLC
	SDNUMA                                   // SD_NUMA
)

// NoNode is the preferred node of a task that has none (NUMA_NO_NODE).
const NoNode = -1

// Decision holds the raw facts of one candidate move, unscaled, as the kernel
// has them in can_migrate_task() (kernel/sched/fair.c, 6.12) after every hard
// condition has passed. The tracer fills it from the kernel, the balance pass
// from a snapshot, the simulator from its state; a dataset row is one of it.
// Every policy is a function of it.
type Decision struct {
	// Where from, where to, and why.
	SrcCPU, DstCPU   int32
	SrcNode, DstNode int32 // nid
	Idle             IdleType
	Domain           DomainFlags
	SameCore         bool // the two CPUs are SMT siblings
	SameLLC          bool // the two CPUs share a last-level cache

	// The two runqueues.
	SrcNrRunning          uint32 // rq.nr_running
	SrcNrPreferredRunning uint32 // rq.nr_preferred_running
	DstNrRunning          uint32
	SrcLen, DstLen        uint32 // rq.cfs.h_nr_running (6.12), h_nr_queued (6.14 and later)
	SrcLoad, DstLoad      uint64 // rq.cfs.avg.load_avg

	// What the two CPUs are worth. The kernel's rule looks at neither; 0 where not known.
	SrcSpeed, DstSpeed               uint32 // measured, of FullSpeed: Runqueue.Speed
	SrcBusySiblings, DstBusySiblings uint8  // CPUs of the same core, without the CPU itself, that have something to run

	// The balance attempt.
	NrBalanceFailed uint32 // sd.nr_balance_failed
	CacheNiceTries  uint32 // sd.cache_nice_tries

	// The task.
	Fair           bool  // of the fair class (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE)
	IdlePolicy     bool  // SCHED_IDLE: never cache-hot
	NextBuddy      bool  // it is the source queue's next buddy
	CookieMismatch bool  // core scheduling: its cookie is not the destination core's
	Delta          int64 // rq_clock_task(src) - se.exec_start, ns; may equal the uptime
	MigrationCost  int64 // sysctl_sched_migration_cost, ns; -1: always hot, 0: never

	// NUMA balancing. The fault slices are indexed by nid and may alias a
	// snapshot; a node past their end has no faults.
	NUMABalancing    bool // sched_numa_balancing is on
	HasFaults        bool // task.numa_faults is not NULL
	HasGroup         bool // task.numa_group is not NULL
	PreferredNode    int32
	TaskFaults       []uint64
	TaskTotalFaults  uint64
	GroupFaults      []uint64
	GroupTotalFaults uint64

	// NUMA describes the nodes; nil stands for a topology whose nodes are all
	// the same distance apart.
	NUMA *topology.NUMA
}
