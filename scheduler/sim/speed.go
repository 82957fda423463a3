// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"mllb/features"
)

// Anywhere, as Spec.CPU, leaves it to the kernel where a thread starts.
const Anywhere = -1

// measuredEvery is how often speeds are measured.
const measuredEvery = int64(time.Second)

// SetSpeed makes a CPU worth speed of features.FullSpeed while its siblings are idle.
func (h *Host) SetSpeed(cpu int, speed uint32) { h.speeds[cpu] = speed }

// Speeds writes what each CPU was worth when that was last measured, without error.
func (h *Host) Speeds(s *features.Snapshot) {
	for i := range s.Runqueues {
		s.Runqueues[i].Speed = h.measured[i]
	}
}

func (h *Host) measure() {
	for i := range h.cpus {
		h.measured[i] = h.worth(i)
	}
}

// worth returns what a CPU is worth now: less while a sibling works. The siblings are
// those that there are, whatever Topology says.
func (h *Host) worth(cpu int) uint32 {
	speed := h.speeds[cpu]
	if h.opt.CoRun == 0 {
		return speed
	}
	for i := range h.real.Cores[h.real.CPUs[cpu].Core].All() {
		if i != cpu && len(h.cpus[i].queue) > 0 {
			return speed * h.opt.CoRun / features.FullSpeed
		}
	}
	return speed
}

// anywhere is a small sched_balance_find_dst_cpu(): an idle CPU of an idle core, or an
// idle one, or one of those with the shortest queue, by the cores that the kernel was told.
func (h *Host) anywhere() int32 {
	var best []int32
	least := 0
	for cpu := range h.topo.Online.All() {
		cost := 2 * len(h.cpus[cpu].queue)
		if cost == 0 && h.busyOn(cpu) > 0 {
			cost = 1
		}
		if len(best) == 0 || cost < least {
			best, least = best[:0], cost
		}
		if cost == least {
			best = append(best, int32(cpu))
		}
	}
	return best[h.rng.IntN(len(best))]
}

// busyOn counts the busy CPUs of a CPU's core, as the kernel was told.
func (h *Host) busyOn(cpu int) (n int) {
	for i := range h.topo.Cores[h.topo.CPUs[cpu].Core].All() {
		if len(h.cpus[i].queue) > 0 {
			n++
		}
	}
	return n
}

// unshare is the kernel's group_smt_balance: of a core that runs two threads it pushes one
// to an idle core.
func (h *Host) unshare(idle int) {
	if h.opt.CoRun == 0 || h.busyOn(idle) > 0 {
		return
	}
	for i := range h.cpus {
		if q := h.cpus[i].queue; len(q) == 1 && h.busyOn(i) > 1 && q[0].allowed.Has(idle) && !q[0].MigrationDisabled {
			t := q[0]
			h.dequeue(t)
			h.enqueue(t, int32(idle))
			return
		}
	}
}

// Done reports whether no thread is left.
func (h *Host) Done() bool { return len(h.threads) == 0 }
