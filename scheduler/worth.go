// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math"

	"mllb/features"
	"mllb/topology"
)

// What is held the kernel cannot pull in the microsecond in which a CPU goes idle, nor
// wake elsewhere. That is worth it only for a thread that has more than it would find
// elsewhere: a core to itself, on a machine with worse places than that. Those are CPUs
// that were measured to be slower, cores that are shared, other caches and other nodes. A
// machine of equal CPUs below one cache, or one that says so, has none: there what was
// moved is let go after its cool-down, lest the kernel undo it at once, and nothing else
// is held.

// holdWorth holds the threads whose place is worth it, and lets the others go. Those
// that the pass has just moved it leaves alone.
func (p *pass) holdWorth() {
	slowest := p.slowestSpeed()
	for _, i := range p.fresh {
		if p.isMoved(i) {
			continue
		}
		t := &p.s.Threads[i]
		held := t.Hold >= 0
		switch worth := p.worth(t, slowest); {
		case worth && !held:
			p.plan.Holds = append(p.plan.Holds, features.Hold{Thread: i, CPU: t.CPU})
		case held && !worth && p.state.cool[t.ID] <= p.s.Time:
			p.plan.Releases = append(p.plan.Releases, i)
		}
	}
}

// worth reports whether a thread has a core to itself, and there are worse places.
func (p *pass) worth(t *features.Thread, slowest uint32) bool {
	cpu := t.CPU
	if t.Hold >= 0 {
		cpu = t.Hold
	}
	if !p.usable(t, cpu) {
		return false
	}
	self := int32(0)
	if t.Queued() {
		self = 1
	}
	if p.queues[cpu].len > self || p.coreBusy[p.layout.core[cpu]] > self {
		return false
	}
	return p.layout.uneven || fasterBy(p.s.Runqueues[cpu].Speed, slowest)
}

// slowestSpeed returns the least speed that was measured of the CPUs that are balanced.
func (p *pass) slowestSpeed() uint32 {
	least := uint32(math.MaxUint32)
	for cpu, up := range p.ups {
		if speed := p.s.Runqueues[cpu].Speed; up && speed > 0 {
			least = min(least, speed)
		}
	}
	return least
}

// uneven reports whether CPUs share a core, or there are several last-level caches or nodes.
func uneven(t *topology.Topology) bool {
	for i := range t.Domains {
		if t.Domains[i].Level != topology.LLC {
			return true
		}
	}
	return false
}
