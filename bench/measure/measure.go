// SPDX-License-Identifier: Apache-2.0

// Package measure tells what the scheduler does to one workload while it runs:
// the queue lengths of the whole machine, and the migrations, switches, waiting
// and CPU time of one process tree, counted in the kernel by eBPF. It also
// measures how long idle CPUs wait for a thread of that tree that waits elsewhere,
// and how long the kernel's balancer takes.
package measure

import (
	"time"

	"mllb/topology"
)

// DefaultInterval is the mean time between two samples of the queues: ten a
// second, as in the paper (section 4.2).
const DefaultInterval = 100 * time.Millisecond

// Options say what is measured.
type Options struct {
	// Root is the pid of the workload's first process. It and its descendants,
	// threads included, are the tree that is followed.
	Root int
	// Interval is the mean time between two samples of the queues; 0: DefaultInterval.
	Interval time.Duration
	// Topology tells how far a migration goes.
	Topology *topology.Topology
}

// Sample is what was measured from Start to Stop. Missing names what this host
// or this user cannot measure; those fields are 0 and mean nothing.
type Sample struct {
	Wall time.Duration `json:"wall_ns"`
	// By is how the tree was followed: "bpf" counts every thread; "proc" polls
	// /proc, so that CPU time, switches and waiting of threads that ended are
	// known up to their last poll only, and threads that lived between two polls
	// are not known at all.
	By      string   `json:"by"`
	Missing []string `json:"missing,omitempty"`

	HasQueues    bool     `json:"has_queues"`
	Samples      int      `json:"samples"`       // of the queue lengths
	MaxImbalance []uint32 `json:"max_imbalance"` // per sample: longest minus shortest queue over the online CPUs
	Lengths      []uint64 `json:"lengths"`       // how often a CPU's fair queue had i runnable tasks, the running one among them

	Load [3]float64 `json:"load"` // averages over 1, 5 and 15 minutes, at the end

	Tasks         int           `json:"tasks"`    // threads of the tree that were seen
	Lost          uint64        `json:"lost"`     // events of it that the programs were kept from; 0 is usual
	Utime         time.Duration `json:"utime_ns"` // of all threads of the tree, alive or not, as getrusage(2) has it
	Stime         time.Duration `json:"stime_ns"`
	HasRunDelay   bool          `json:"has_run_delay"`
	RunDelay      time.Duration `json:"run_delay_ns"` // spent runnable and waiting for a CPU (sched_info.run_delay)
	Voluntary     uint64        `json:"voluntary"`    // context switches; with the last of each thread, which getrusage(2) may lack
	Involuntary   uint64        `json:"involuntary"`
	HasMigrations bool          `json:"has_migrations"`
	// Migrations of the tree's threads from one CPU to another, by what both
	// CPUs still share: [topology.SMT] stayed on a core, [topology.Machine]
	// changed the node.
	Migrations [topology.NumLevels]uint64 `json:"migrations"`
	// Moves is their sum by the kernel's own count (se.nr_migrations).
	Moves uint64 `json:"moves"`

	Reactions *Reactions `json:"reactions,omitempty"` // nil: not known

	// Changes of /proc/vmstat; of the whole machine.
	HasNUMA         bool   `json:"has_numa"`
	HintFaults      uint64 `json:"hint_faults"`
	HintFaultsLocal uint64 `json:"hint_faults_local"`
	PagesMigrated   uint64 `json:"pages_migrated"`

	// Changes of /proc/stat, summed over the CPUs.
	Steal time.Duration `json:"steal_ns"`
	Idle  time.Duration `json:"idle_ns"`
}
