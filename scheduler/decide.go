// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math"

	"mllb/features"
)

// fill makes the complete Decision of a candidate move: the snapshot's raw
// runqueue fields, as the moves planned before it leave them.
func (p *pass) fill(d *features.Decision, dom *domain, t *features.Thread, src, dst int32) {
	from, to := p.runqueue(src), p.runqueue(dst)
	topo := p.layout.topo
	*d = features.Decision{
		SrcCPU: src, DstCPU: dst,
		SrcNode: int32(topo.NodeOf(int(src))), DstNode: int32(topo.NodeOf(int(dst))),
		Idle: p.idleType(dst), Domain: dom.flags,
		SameCore: topo.SameCore(int(src), int(dst)), SameLLC: topo.SameLLC(int(src), int(dst)),

		SrcNrRunning: from.NrRunning, SrcNrPreferredRunning: from.NrPreferredRunning, DstNrRunning: to.NrRunning,
		SrcLen: from.NrQueued, DstLen: to.NrQueued, SrcLoad: from.LoadAvg, DstLoad: to.LoadAvg,
		SrcSpeed: from.Speed, DstSpeed: to.Speed,
		SrcBusySiblings: p.busySiblings(src), DstBusySiblings: p.busySiblings(dst),

		NrBalanceFailed: p.state.failed[dom.level][dst], CacheNiceTries: dom.tries,

		Fair: fair(t.Policy), IdlePolicy: t.Policy == features.SchedIdle,
		Delta: t.Delta, MigrationCost: p.s.MigrationCost,

		NUMABalancing: p.s.NUMABalancing, PreferredNode: t.PreferredNode,
		HasFaults: t.NUMAType&features.HasFaults != 0, HasGroup: t.NUMAType&features.HasGroup != 0,
		NUMA: &topo.NUMA,
	}
	if t.Faults >= 0 && int(t.Faults) < len(p.s.Faults) {
		f := &p.s.Faults[t.Faults]
		d.TaskFaults, d.TaskTotalFaults = f.Task, f.TaskTotal
		d.GroupFaults, d.GroupTotalFaults = f.Group, f.GroupTotal
	}
}

// runqueue returns a CPU's runqueue after the moves planned so far. In the
// kernel, too, a task that was detached is gone from the figures at once.
func (p *pass) runqueue(cpu int32) features.Runqueue {
	var rq features.Runqueue
	if int(cpu) < len(p.s.Runqueues) {
		rq = p.s.Runqueues[cpu]
	}
	q := &p.queues[cpu]
	rq.NrRunning = adjust(rq.NrRunning, q.nr)
	rq.NrQueued = adjust(rq.NrQueued, q.nr)
	rq.NrPreferredRunning = adjust(rq.NrPreferredRunning, q.preferred)
	load := int64(min(rq.LoadAvg, math.MaxInt64/2)) + q.loadAvg
	rq.LoadAvg = uint64(max(load, 0))
	return rq
}

// busySiblings counts the other CPUs of a CPU's core that have something to run
// after the moves planned so far.
func (p *pass) busySiblings(cpu int32) uint8 {
	n := p.coreBusy[p.layout.core[cpu]]
	if p.queues[cpu].len > 0 {
		n-- // itself
	}
	return uint8(min(n, math.MaxUint8))
}

func adjust(n uint32, by int32) uint32 {
	return uint32(min(max(int64(n)+int64(by), 0), math.MaxUint32))
}

// idleType says what the destination is doing. A CPU that had something to run
// one tick ago has only now become idle.
func (p *pass) idleType(cpu int32) features.IdleType {
	switch {
	case p.queues[cpu].len > 0:
		return features.NotIdle
	case p.state.busy[cpu]:
		return features.NewlyIdle
	}
	return features.Idle
}
