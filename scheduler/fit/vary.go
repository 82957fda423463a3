// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"

	"mllb/features"
)

// A simulated host asks about few of the situations that the rule tells apart:
// it has no next buddies, its balance rarely fails often, its tasks are rarely
// hot. A variant of a decision keeps what the host is and what its queues hold,
// and draws anew each fact that decides, most of the time.
type varier struct {
	rng                *rand.Rand
	nodes              int32 // of the host
	taskFaults, groups []uint64
}

// vary makes d a variant of itself. The fault slices of d are the varier's own
// afterwards, and valid until the next call.
func (v *varier) vary(d *features.Decision) {
	for _, draw := range []func(*features.Decision){v.attempt, v.task, v.queues, v.domain, v.numa} {
		if v.rng.IntN(4) > 0 {
			draw(d)
		}
	}
}

func (v *varier) chance(p float64) bool { return v.rng.Float64() < p }

func (v *varier) attempt(d *features.Decision) {
	d.Idle = features.IdleType(v.rng.IntN(3))
	d.NrBalanceFailed = 0
	if v.chance(0.3) {
		d.NrBalanceFailed = uint32(v.rng.IntN(7))
	}
}

func (v *varier) task(d *features.Decision) {
	d.NextBuddy = v.chance(0.15)
	switch {
	case v.chance(0.02):
		d.MigrationCost = -1
	case v.chance(0.02):
		d.MigrationCost = 0
	default:
		d.MigrationCost = 500_000
	}
	// From 10 us to 1 s, as likely to be below the migration cost as above.
	d.Delta = int64(1e4 * v.spread(1.7))
	if v.chance(0.5) {
		d.Delta = int64(5e5 * v.spread(3.3))
	}
}

// queues redraws how many tasks prefer the source, and now and then a length
// or a load far beyond what the simulated hosts have. Those decide nothing, and
// the network has to learn that too.
func (v *varier) queues(d *features.Decision) {
	for _, load := range []*uint64{&d.SrcLoad, &d.DstLoad} {
		if v.chance(0.1) {
			*load = uint64(v.spread(7))
		}
	}
	if v.chance(0.1) {
		d.SrcLen = 2 + uint32(v.spread(4))
		d.SrcNrRunning = d.SrcLen
	}
	if v.chance(0.2) {
		d.DstLen = uint32(v.spread(4)) - 1
		d.DstNrRunning = d.DstLen
	}
	d.SrcNrPreferredRunning = d.SrcNrRunning
	if v.chance(0.5) {
		d.SrcNrPreferredRunning = uint32(v.rng.Int64N(int64(d.SrcNrRunning) + 1))
	}
}

// spread draws from 1 to 10^exponent, each order of magnitude alike.
func (v *varier) spread(exponent float64) float64 { return math.Pow(10, exponent*v.rng.Float64()) }

// domain makes a pair of CPUs of one node siblings or not.
func (v *varier) domain(d *features.Decision) {
	if d.SrcNode != d.DstNode {
		return
	}
	d.SameCore = v.chance(0.4)
	d.Domain, d.CacheNiceTries = features.ShareLLC, 1
	if d.SameCore {
		d.Domain, d.CacheNiceTries = features.ShareLLC|features.ShareCPUCapacity, 0
	}
}

// numa redraws the task's faults and its preferred node, where there is any
// choice of node. A task without faults has no preferred node.
func (v *varier) numa(d *features.Decision) {
	d.HasFaults, d.HasGroup, d.PreferredNode = false, false, features.NoNode
	d.TaskFaults, d.TaskTotalFaults, d.GroupFaults, d.GroupTotalFaults = nil, 0, nil, 0
	if v.nodes < 2 || v.chance(0.25) {
		return
	}
	d.NUMABalancing, d.HasFaults, d.HasGroup = true, true, v.chance(0.3)
	v.taskFaults, d.TaskTotalFaults = v.faults(v.taskFaults)
	d.TaskFaults = v.taskFaults
	if d.HasGroup {
		v.groups, d.GroupTotalFaults = v.faults(v.groups)
		d.GroupFaults = v.groups
	}
	switch v.rng.IntN(4) {
	case 0:
		d.PreferredNode = d.SrcNode
	case 1:
		d.PreferredNode = d.DstNode
	case 2:
		d.PreferredNode = v.rng.Int32N(v.nodes)
	}
}

// faults draws faults by node from none at all to 2^21, mostly on few nodes.
func (v *varier) faults(f []uint64) ([]uint64, uint64) {
	f = f[:0]
	total := uint64(0)
	scale := v.spread(6.3)
	none := v.chance(0.1)
	for range v.nodes {
		n := uint64(0)
		if !none && v.chance(0.8) {
			n = uint64(scale * v.rng.ExpFloat64())
		}
		f = append(f, n)
		total += n
	}
	return f, total
}
