// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// Four nodes in a ring: 0 and 2, 1 and 3 are two hops apart.
var mesh = &topology.NUMA{Type: topology.NUMAGluelessMesh, MaxDistance: 30, Distance: [][]int{
	{10, 20, 30, 20}, {20, 10, 20, 30}, {30, 20, 10, 20}, {20, 30, 20, 10},
}}

// Two pairs of nodes behind a backplane.
var backplane = &topology.NUMA{Type: topology.NUMABackplane, MaxDistance: 40, Distance: [][]int{
	{10, 20, 40, 40}, {20, 10, 40, 40}, {40, 40, 10, 20}, {40, 40, 20, 10},
}}

// remote is a decision about a cold task of node 0 with faults, for node 1.
func remote(change func(d *features.Decision)) features.Decision {
	d := features.Decision{
		SrcNode: 0, DstNode: 1, Domain: features.SDNUMA, Fair: true, NUMABalancing: true, HasFaults: true,
		PreferredNode: features.NoNode, Delta: 1000, MigrationCost: 500, CacheNiceTries: 2,
		SrcNrRunning: 3, SrcNrPreferredRunning: 3,
		TaskFaults: []uint64{300, 100}, TaskTotalFaults: 400,
	}
	change(&d)
	return d
}

// local is a decision about a hot task within a node.
func local(change func(d *features.Decision)) features.Decision {
	d := features.Decision{
		Domain: features.ShareLLC, Fair: true, PreferredNode: features.NoNode,
		Delta: 499, MigrationCost: 500, CacheNiceTries: 1,
	}
	change(&d)
	return d
}

// One case or more for each branch of migrate_degrades_locality(), task_hot()
// and what can_migrate_task() makes of them.
func TestCFS(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    features.Decision
		want bool
	}{
		{"worse node", remote(func(d *features.Decision) {}), false},
		{"worse node, newly idle", remote(func(d *features.Decision) { d.Idle = features.NewlyIdle }), false},
		{"worse node, idle: neutral, cold", remote(func(d *features.Decision) { d.Idle = features.Idle }), true},
		{"worse node, idle: neutral, hot", remote(func(d *features.Decision) { d.Idle, d.Delta = features.Idle, 1 }), false},
		{"better node, though hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{100, 300}, 1 }), true},
		{"equal nodes, though hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{200, 200}, 1 }), true},
		{"equal once truncated", remote(func(d *features.Decision) { d.TaskFaults, d.TaskTotalFaults = []uint64{1001, 1000}, 2001000 }), true},
		{"no total", remote(func(d *features.Decision) { d.TaskTotalFaults = 0 }), true},
		{"no faults seen there", remote(func(d *features.Decision) { d.TaskFaults = []uint64{5} }), false},
		{"balancing off", remote(func(d *features.Decision) { d.NUMABalancing = false }), true},
		{"no numa_faults", remote(func(d *features.Decision) { d.HasFaults = false }), true},
		{"domain within a node", remote(func(d *features.Decision) { d.Domain = 0 }), true},
		{"same node", remote(func(d *features.Decision) { d.DstNode = 0 }), true},
		{"leaves preferred, others do not prefer it", remote(func(d *features.Decision) { d.PreferredNode, d.SrcNrRunning = 0, 4 }), false},
		{"leaves preferred, all prefer it", remote(func(d *features.Decision) { d.PreferredNode = 0 }), true},
		{"leaves preferred, all prefer it, hot", remote(func(d *features.Decision) { d.PreferredNode, d.Delta = 0, 1 }), false},
		{"to preferred, though hot and worse", remote(func(d *features.Decision) { d.PreferredNode, d.Delta = 1, 1 }), true},
		{"prefers a third node", remote(func(d *features.Decision) { d.PreferredNode = 2 }), false},
		{"group before task: better", remote(func(d *features.Decision) {
			d.HasGroup, d.GroupFaults, d.GroupTotalFaults = true, []uint64{1, 2}, 3
		}), true},
		{"group before task: worse", remote(func(d *features.Decision) {
			d.TaskFaults, d.HasGroup, d.GroupFaults, d.GroupTotalFaults = []uint64{1, 2}, true, []uint64{2, 1}, 3
		}), false},
		{"group without faults", remote(func(d *features.Decision) { d.HasGroup = true }), true},
		{"failed often enough", remote(func(d *features.Decision) { d.NrBalanceFailed = 3 }), true},
		{"failed, not often enough", remote(func(d *features.Decision) { d.NrBalanceFailed = 2 }), false},
		// Mesh: node 0 scores 100 + (0+0)/2, node 1 scores 90 + 50/2 of node 2.
		{"mesh: a near node's faults count half", remote(func(d *features.Decision) {
			d.NUMA, d.TaskFaults, d.TaskTotalFaults = mesh, []uint64{100, 90, 50, 0}, 240
		}), true},
		// Node 1 scores 90+50 (0's faults at 20), node 0 scores 100+45.
		{"mesh: both ends count each other", remote(func(d *features.Decision) {
			d.NUMA, d.TaskFaults, d.TaskTotalFaults = mesh, []uint64{100, 90, 0, 0}, 190
		}), false},
		// From 0 to 2, two hops: 0 scores 100 + (40+0)/2, 2 scores 100 + (40+0)/2.
		{"mesh: the farthest do not count", remote(func(d *features.Decision) {
			d.NUMA, d.DstNode, d.TaskFaults, d.TaskTotalFaults = mesh, 2, []uint64{100, 40, 100, 0}, 240
		}), true},
		// Across the backplane pairs compare whole: 60+60 against 100+0.
		{"backplane: the better pair", remote(func(d *features.Decision) {
			d.NUMA, d.DstNode, d.TaskFaults, d.TaskTotalFaults = backplane, 2, []uint64{100, 0, 60, 60}, 220
		}), true},
		// Within a pair the limit is 20, so neither counts the other.
		{"backplane: within a pair each for itself", remote(func(d *features.Decision) {
			d.NUMA, d.TaskFaults, d.TaskTotalFaults = backplane, []uint64{100, 90, 0, 0}, 190
		}), false},
		{"direct: neighbours do not count", remote(func(d *features.Decision) {
			d.NUMA, d.TaskFaults, d.TaskTotalFaults = &topology.NUMA{MaxDistance: 20, Distance: mesh.Distance}, []uint64{100, 90, 50, 0}, 240
		}), false},
		{"a node that does not exist", remote(func(d *features.Decision) { d.NUMA, d.DstNode, d.TaskFaults = mesh, 7, []uint64{0, 0, 0, 0} }), true},

		{"hot", local(func(d *features.Decision) {}), false},
		{"just cold", local(func(d *features.Decision) { d.Delta = 500 }), true},
		{"clock went backwards", local(func(d *features.Decision) { d.Delta = -1 }), false},
		{"never ran: delta is the uptime", local(func(d *features.Decision) { d.Delta = 1 << 62 }), true},
		{"not fair", local(func(d *features.Decision) { d.Fair = false }), true},
		{"idle policy", local(func(d *features.Decision) { d.IdlePolicy = true }), true},
		{"smt siblings", local(func(d *features.Decision) { d.Domain |= features.ShareCPUCapacity }), true},
		{"smt siblings by CPU alone", local(func(d *features.Decision) { d.SameCore = true }), false},
		{"next buddy of a busy destination", local(func(d *features.Decision) { d.Delta, d.NextBuddy, d.DstNrRunning = 1000, true, 1 }), false},
		{"next buddy of an empty destination", local(func(d *features.Decision) { d.Delta, d.NextBuddy = 1000, true }), true},
		{"next buddy comes before cost 0", local(func(d *features.Decision) { d.MigrationCost, d.NextBuddy, d.DstNrRunning = 0, true, 1 }), false},
		{"always hot", local(func(d *features.Decision) { d.Delta, d.MigrationCost = 1000, -1 }), false},
		{"never hot", local(func(d *features.Decision) { d.MigrationCost = 0 }), true},
		{"another cookie", local(func(d *features.Decision) { d.Delta, d.CookieMismatch = 1000, true }), false},
		{"another cookie comes before cost 0", local(func(d *features.Decision) { d.MigrationCost, d.CookieMismatch = 0, true }), false},
		{"another cookie of a smt sibling", local(func(d *features.Decision) { d.CookieMismatch, d.Domain = true, features.ShareCPUCapacity }), true},
		{"hot, failed often enough", local(func(d *features.Decision) { d.NrBalanceFailed = 2 }), true},
		{"hot, failed once", local(func(d *features.Decision) { d.NrBalanceFailed = 1 }), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (scheduler.CFS{}).Decide(&tc.d); got.Migrate != tc.want {
				t.Errorf("migrate %v, want %v", got.Migrate, tc.want)
			}
		})
	}
}

// TestTiesNeutral checks where later kernels leave it to task_hot(), and that
// they differ nowhere else.
func TestTiesNeutral(t *testing.T) {
	later := scheduler.CFS{TiesNeutral: true}
	for _, tc := range []struct {
		name           string
		d              features.Decision
		want612, later bool
	}{
		{"equal, hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{200, 200}, 1 }), true, false},
		{"equal, cold", remote(func(d *features.Decision) { d.TaskFaults = []uint64{200, 200} }), true, true},
		{"equal, hot, failed often", remote(func(d *features.Decision) {
			d.TaskFaults, d.Delta, d.NrBalanceFailed = []uint64{200, 200}, 1, 3
		}), true, true},
		{"equal, hot, prefers the destination", remote(func(d *features.Decision) {
			d.TaskFaults, d.Delta, d.PreferredNode = []uint64{200, 200}, 1, 1
		}), true, true},
		{"worse, cold", remote(func(d *features.Decision) {}), false, false},
		{"better, hot", remote(func(d *features.Decision) { d.TaskFaults, d.Delta = []uint64{100, 300}, 1 }), true, true},
	} {
		if got := (scheduler.CFS{}).Decide(&tc.d).Migrate; got != tc.want612 {
			t.Errorf("%s: 6.12 %v", tc.name, got)
		}
		if got := later.Decide(&tc.d).Migrate; got != tc.later {
			t.Errorf("%s: later %v", tc.name, got)
		}
	}
}
