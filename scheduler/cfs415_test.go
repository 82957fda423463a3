// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
)

// One case or more for each branch of migrate_degrades_locality() and
// task_hot() of 4.15, beside what 6.12 answers.
func TestCFS415(t *testing.T) {
	for _, tc := range []struct {
		name   string
		d      features.Decision
		want   bool
		modern bool
	}{
		{"worse node", remote(func(d *features.Decision) {}), false, false},
		{"worse node, newly idle: neutral, cold", remote(func(d *features.Decision) { d.Idle = features.NewlyIdle }), true, false},
		{"worse node, newly idle: neutral, hot", remote(func(d *features.Decision) { d.Idle, d.Delta = features.NewlyIdle, 1 }), false, false},
		{"better node and hot, newly idle", remote(func(d *features.Decision) {
			d.Idle, d.Delta, d.TaskFaults = features.NewlyIdle, 1, []uint64{100, 300}
		}), false, true},
		{"worse node, idle", remote(func(d *features.Decision) { d.Idle = features.Idle }), true, true},
		{"better node, though hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{100, 300}, 1 }), true, true},
		{"equal nodes, though hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{200, 200}, 1 }), true, true},
		{"not truncated to thousandths", remote(func(d *features.Decision) { d.TaskFaults, d.TaskTotalFaults = []uint64{1001, 1000}, 2001000 }), false, true},
		{"no total is looked at", remote(func(d *features.Decision) { d.TaskTotalFaults = 0 }), false, true},
		{"no faults seen there", remote(func(d *features.Decision) { d.TaskFaults = []uint64{5} }), false, false},
		{"balancing off", remote(func(d *features.Decision) { d.NUMABalancing = false }), true, true},
		{"no numa_faults", remote(func(d *features.Decision) { d.HasFaults = false }), true, true},
		{"domain within a node", remote(func(d *features.Decision) { d.Domain = 0 }), true, true},
		{"same node", remote(func(d *features.Decision) { d.DstNode = 0 }), true, true},
		{"leaves preferred, others do not prefer it", remote(func(d *features.Decision) { d.PreferredNode, d.SrcNrRunning = 0, 4 }), false, false},
		{"the same, idle", remote(func(d *features.Decision) { d.PreferredNode, d.SrcNrRunning, d.Idle = 0, 4, features.Idle }), false, false},
		{"leaves preferred, all prefer it", remote(func(d *features.Decision) { d.PreferredNode = 0 }), true, true},
		{"leaves preferred, all prefer it, hot", remote(func(d *features.Decision) { d.PreferredNode, d.Delta = 0, 1 }), false, false},
		{"to preferred, though hot and worse", remote(func(d *features.Decision) { d.PreferredNode, d.Delta = 1, 1 }), true, true},
		{"prefers a third node", remote(func(d *features.Decision) { d.PreferredNode = 2 }), false, false},
		{"group before task: better", remote(func(d *features.Decision) {
			d.HasGroup, d.GroupFaults, d.GroupTotalFaults = true, []uint64{1, 2}, 3
		}), true, true},
		{"group before task: worse", remote(func(d *features.Decision) {
			d.TaskFaults, d.HasGroup, d.GroupFaults, d.GroupTotalFaults = []uint64{1, 2}, true, []uint64{2, 1}, 3
		}), false, false},
		{"group without faults", remote(func(d *features.Decision) { d.HasGroup = true }), true, true},
		{"failed often enough", remote(func(d *features.Decision) { d.NrBalanceFailed = 3 }), true, true},
		{"failed, not often enough", remote(func(d *features.Decision) { d.NrBalanceFailed = 2 }), false, false},
		{"mesh: near nodes do not count", remote(func(d *features.Decision) {
			d.NUMA, d.TaskFaults, d.TaskTotalFaults = mesh, []uint64{100, 90, 50, 0}, 240
		}), false, true},

		{"hot", local(func(d *features.Decision) {}), false, false},
		{"just cold", local(func(d *features.Decision) { d.Delta = 500 }), true, true},
		{"never ran: delta is the uptime", local(func(d *features.Decision) { d.Delta = 1 << 62 }), true, true},
		{"not fair", local(func(d *features.Decision) { d.Fair = false }), true, true},
		{"idle policy", local(func(d *features.Decision) { d.IdlePolicy = true }), true, true},
		{"smt siblings", local(func(d *features.Decision) { d.Domain |= features.ShareCPUCapacity }), false, true},
		{"next buddy of a busy destination", local(func(d *features.Decision) { d.Delta, d.NextBuddy, d.DstNrRunning = 1000, true, 1 }), false, false},
		{"next buddy of an empty destination", local(func(d *features.Decision) { d.Delta, d.NextBuddy = 1000, true }), true, true},
		{"next buddy comes before cost 0", local(func(d *features.Decision) { d.MigrationCost, d.NextBuddy, d.DstNrRunning = 0, true, 1 }), false, false},
		{"always hot", local(func(d *features.Decision) { d.Delta, d.MigrationCost = 1000, -1 }), false, false},
		{"never hot", local(func(d *features.Decision) { d.MigrationCost = 0 }), true, true},
		{"another cookie", local(func(d *features.Decision) { d.Delta, d.CookieMismatch = 1000, true }), true, false},
		{"hot, failed often enough", local(func(d *features.Decision) { d.NrBalanceFailed = 2 }), true, true},
		{"hot, failed once", local(func(d *features.Decision) { d.NrBalanceFailed = 1 }), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (scheduler.CFS415{}).Decide(&tc.d); got.Migrate != tc.want {
				t.Errorf("4.15: migrate %v, want %v", got.Migrate, tc.want)
			}
			if got := (scheduler.CFS{}).Decide(&tc.d); got.Migrate != tc.modern {
				t.Errorf("6.12: migrate %v, want %v", got.Migrate, tc.modern)
			}
		})
	}
}

// Where nothing that changed since comes in, the two rules are one.
func TestCFS415AgreesWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := features.Decision{
			Domain: rapid.SampledFrom([]features.DomainFlags{0, features.ShareLLC, features.SDNUMA}).Draw(t, "domain"),
			Idle:   rapid.SampledFrom([]features.IdleType{features.NotIdle, features.Idle}).Draw(t, "idle"),
			Fair:   rapid.Bool().Draw(t, "fair"), IdlePolicy: rapid.Bool().Draw(t, "idle policy"), NextBuddy: rapid.Bool().Draw(t, "buddy"),
			SrcNode: rapid.Int32Range(0, 1).Draw(t, "src"), DstNode: rapid.Int32Range(0, 1).Draw(t, "dst"),
			PreferredNode: rapid.Int32Range(-1, 2).Draw(t, "preferred"),
			SrcNrRunning:  rapid.Uint32Range(0, 3).Draw(t, "running"), SrcNrPreferredRunning: rapid.Uint32Range(0, 3).Draw(t, "preferring"),
			DstNrRunning:    rapid.Uint32Range(0, 1).Draw(t, "dst running"),
			NrBalanceFailed: rapid.Uint32Range(0, 3).Draw(t, "failed"), CacheNiceTries: rapid.Uint32Range(0, 2).Draw(t, "tries"),
			Delta: rapid.Int64Range(-5, 5).Draw(t, "delta"), MigrationCost: rapid.Int64Range(-1, 5).Draw(t, "cost"),
			NUMABalancing: rapid.Bool().Draw(t, "balancing"), HasFaults: rapid.Bool().Draw(t, "faults"),
			// A total of at most 1000 loses nothing in thousandths.
			TaskFaults: []uint64{rapid.Uint64Range(0, 500).Draw(t, "f0"), rapid.Uint64Range(0, 500).Draw(t, "f1")},
		}
		d.TaskTotalFaults = d.TaskFaults[0] + d.TaskFaults[1]
		if old, now := (scheduler.CFS415{}).Decide(&d), (scheduler.CFS{}).Decide(&d); old != now {
			t.Fatalf("4.15 %v, 6.12 %v: %+v", old.Migrate, now.Migrate, d)
		}
	})
}
