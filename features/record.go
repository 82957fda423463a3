// SPDX-License-Identifier: Apache-2.0

package features

// Condition says how far a call of can_migrate_task() came: the first hard
// condition that failed, or that all passed and the locality rule decided.
type Condition uint8

// The hard conditions in the order in which the kernel tests them. Those of
// later kernels than 6.12 name the version.
const (
	Passed           Condition = iota // every hard condition: the label is the rule's
	Throttled                         // throttled_lb_pair
	PerCPUKthread                     // kthread_is_per_cpu
	DelayedDequeue                    // se.sched_delayed (7.2)
	Ineligible                        // not eligible and nr_balance_failed is 0 (7.2)
	Proxy                             // task_is_blocked, proxy execution (7.2)
	CPUsAllowed                       // dst_cpu not in cpus_ptr
	OnSourceCPU                       // task_on_cpu
	ActiveBalance                     // LBF_ACTIVE_LB: allowed without the rule
	LLCRule                           // last-level cache rules (7.2)
	MigrationBlocked                  // migration disabled
	Unexplained                       // refused, and by nothing that was seen
	NumConditions
)

// MigrationType is the kernel's enum migration_type.
type MigrationType uint8

// What the balance pass wants to even out.
const (
	MigrateLoad MigrationType = iota
	MigrateUtil
	MigrateTask
	MigrateMisfit
	MigrateLLC // 7.2: migrate_llc_task
)

// Record is one call of can_migrate_task() on a running kernel: the facts on
// entry, the answer on return. Its usable part, Condition == Passed, is what a
// network learns from.
type Record struct {
	Decision
	Migrate   bool // the answer: the label
	Condition Condition

	Time      int64 // CLOCK_MONOTONIC on entry, ns
	TID, TGID int32
	Comm      [16]byte
	Nice      int8
	Policy    uint8

	// Of the pass that asked.
	DomainLevel   uint8 // sd.level: 0 is the closest
	DomainName    [16]byte
	DomainRaw     uint32 // sd.flags as the kernel has them
	DomainWeight  uint32 // CPUs in the domain
	ImbalancePct  uint32
	MigrationType MigrationType
	Imbalance     int64  // env.imbalance
	Flags         uint32 // env.flags
	Loop, LoopMax uint32

	// Of the task and the queues, beyond what the rule reads.
	TaskLoad          uint64 // se.avg.load_avg
	TaskUtil          uint64 // se.avg.util_avg
	SrcCoreBusy       uint8  // busy hardware threads of the source core
	DstCoreBusy       uint8
	SrcNrNUMA         uint32 // rq.nr_numa_running
	Eligible          bool   // EEVDF: its lag is not negative; true where not known
	NumPassedHot      uint8  // how often nr_failed_migrations_hot rose during the call
	SchedTaskHot      bool   // task.sched_task_hot on return
	MigrationDisabled bool   // migration disabled on entry
}
