// SPDX-License-Identifier: Apache-2.0

package features

import (
	"fmt"
	"math"
	"strings"
)

// Kind says what values a feature takes.
type Kind uint8

// The kinds of feature.
const (
	Binary Kind = iota // 0 or 1
	Ratio              // a quotient of two integers
)

// Limits of a Set, and so the size of a Vector.
const (
	MaxBinary   = 32
	MaxRatio    = 8
	MaxFeatures = MaxBinary + MaxRatio
)

// Feature derives one input of the network from a Decision.
type Feature struct {
	Name string
	Unit string
	Kind Kind
	Doc  string // where in kernel/sched/fair.c (6.12) it comes from

	// Value returns the feature as num/den; den is 1 for a Binary one, and 0
	// where the feature has no value and stands for 0.
	Value func(d *Decision) (num, den int64)
}

// Set is a named list of features in the order in which a model reads them.
type Set struct {
	Name     string
	Features []Feature
}

// paper15 is the feature table of Chen et al., APSys '20.
var paper15 = []Feature{
	{"src_non_pref_nr", "bool", Binary, "migrate_degrades_locality: src_rq->nr_running > nr_preferred_running", func(d *Decision) (int64, int64) {
		return one(d.SrcNrRunning > d.SrcNrPreferredRunning)
	}},
	{"delta_hot", "bool", Binary, "task_hot: rq_clock_task(src_rq) - exec_start < sysctl_sched_migration_cost; -1 always, 0 never", func(d *Decision) (int64, int64) {
		return one(deltaHot(d))
	}},
	{"cpu_idle", "bool", Binary, "lb_env.idle == CPU_IDLE", func(d *Decision) (int64, int64) { return one(d.Idle == Idle) }},
	{"cpu_not_idle", "bool", Binary, "lb_env.idle == CPU_NOT_IDLE (__CPU_NOT_IDLE since 6.12)", func(d *Decision) (int64, int64) { return one(d.Idle == NotIdle) }},
	{"cpu_newly_idle", "bool", Binary, "lb_env.idle == CPU_NEWLY_IDLE", func(d *Decision) (int64, int64) { return one(d.Idle == NewlyIdle) }},
	{"same_node", "bool", Binary, "migrate_degrades_locality: src_nid == dst_nid", func(d *Decision) (int64, int64) { return one(d.SrcNode == d.DstNode) }},
	{"prefer_src", "bool", Binary, "migrate_degrades_locality: src_nid == numa_preferred_nid", func(d *Decision) (int64, int64) {
		return one(d.PreferredNode != NoNode && d.PreferredNode == d.SrcNode)
	}},
	{"prefer_dst", "bool", Binary, "migrate_degrades_locality: dst_nid == numa_preferred_nid", func(d *Decision) (int64, int64) {
		return one(d.PreferredNode != NoNode && d.PreferredNode == d.DstNode)
	}},
	{"src_len", "tasks", Ratio, "src_rq->cfs.h_nr_running - 2", func(d *Decision) (int64, int64) { return int64(d.SrcLen) - 2, 1 }},
	{"src_load", "kload", Ratio, "src_rq->cfs.avg.load_avg / 1000", func(d *Decision) (int64, int64) { return clamp63(d.SrcLoad), 1000 }},
	{"dst_load", "kload", Ratio, "dst_rq->cfs.avg.load_avg / 1000", func(d *Decision) (int64, int64) { return clamp63(d.DstLoad), 1000 }},
	{"dst_len", "tasks", Ratio, "dst_rq->cfs.h_nr_running", func(d *Decision) (int64, int64) { return int64(d.DstLen), 1 }},
	{"delta_faults", "share", Ratio, "migrate_degrades_locality: (faults on dst_nid - on src_nid) / total; the numa_group's where there is one, else the task's", deltaFaults},
	{"extra_fails", "bool", Binary, "can_migrate_task: sd->nr_balance_failed > sd->cache_nice_tries", func(d *Decision) (int64, int64) {
		return one(d.NrBalanceFailed > d.CacheNiceTries)
	}},
	{"buddy_hot", "bool", Binary, "task_hot: dst_rq->nr_running && &p->se == cfs_rq->next", func(d *Decision) (int64, int64) {
		return one(d.NextBuddy && d.DstNrRunning > 0)
	}},
}

// modern is what the kernel looks at and the paper's features lack. same_smt
// is the flag of the domain being balanced, as task_hot() tests it, and not
// SameCore: SMT siblings also meet in passes over wider domains, and there the
// kernel does call a task hot.
var modern = []Feature{
	{"same_smt", "bool", Binary, "task_hot: sd->flags & SD_SHARE_CPUCAPACITY", func(d *Decision) (int64, int64) {
		return one(d.Domain&ShareCPUCapacity != 0)
	}},
	{"has_numa_faults", "bool", Binary, "migrate_degrades_locality: p->numa_faults", func(d *Decision) (int64, int64) { return one(d.HasFaults) }},
}

// sets are the feature sets that a model may name. A new set is a new entry.
var sets = []Set{
	{"paper15", paper15},
	{"locality17", append(paper15[:len(paper15):len(paper15)], modern...)},
}

// Sets returns the known feature sets. They are not to be changed.
func Sets() []Set { return sets }

// Lookup returns the feature set of that name.
func Lookup(name string) (*Set, error) {
	known := make([]string, len(sets))
	for i := range sets {
		if sets[i].Name == name {
			return &sets[i], nil
		}
		known[i] = sets[i].Name
	}
	return nil, fmt.Errorf("unknown feature set %q; known: %s", name, strings.Join(known, ", "))
}

// Names returns the names of the features in order.
func (s *Set) Names() []string {
	names := make([]string, len(s.Features))
	for i := range s.Features {
		names[i] = s.Features[i].Name
	}
	return names
}

func one(b bool) (int64, int64) {
	if b {
		return 1, 1
	}
	return 0, 1
}

// clamp63 keeps a load in int64; at 2^63 any feature saturates anyway.
func clamp63(x uint64) int64 { return int64(min(x, math.MaxInt64)) }

func deltaHot(d *Decision) bool {
	switch d.MigrationCost {
	case -1:
		return true
	case 0:
		return false
	}
	return d.Delta < d.MigrationCost
}

func deltaFaults(d *Decision) (int64, int64) {
	faults, total := d.TaskFaults, d.TaskTotalFaults
	if d.HasGroup {
		faults, total = d.GroupFaults, d.GroupTotalFaults
	}
	dst, src := at(faults, d.DstNode), at(faults, d.SrcNode)
	if (dst | src | total) > math.MaxInt64 {
		// No counter gets here, a hostile record may: the quotient stays.
		dst, src, total = dst>>1, src>>1, total>>1
	}
	return int64(dst) - int64(src), int64(total)
}

func at(faults []uint64, nid int32) uint64 {
	if nid < 0 || int(nid) >= len(faults) {
		return 0
	}
	return faults[nid]
}
