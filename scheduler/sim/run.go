// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"mllb/features"
)

// Step lets at least dt pass, in whole slices. In each, every CPU runs one
// thread, and a thread whose run or sleep ends in it does so at its end.
func (h *Host) Step(dt time.Duration) {
	for end := h.now + int64(dt); h.now < end; {
		h.slice()
	}
}

func (h *Host) slice() {
	h.now += int64(h.opt.Slice)
	if h.now/measuredEvery != (h.now-int64(h.opt.Slice))/measuredEvery {
		h.measure()
	}
	for i := range h.cpus {
		h.cpus[i].worth = h.worth(i)
	}
	for i := range h.cpus {
		if q := h.cpus[i].queue; len(q) > 0 {
			h.run(q[0])
		}
	}
	for _, t := range h.threads {
		h.age(t)
	}
	h.threads = slices.DeleteFunc(h.threads, func(t *thread) bool { return h.byID[t.id] != t })
	for i := range h.cpus {
		if c := &h.cpus[i]; len(c.queue) > 1 {
			head := c.queue[0]
			copy(c.queue, c.queue[1:])
			c.queue[len(c.queue)-1] = head
		}
	}
	if h.opt.Kernel {
		h.newIdle()
	}
}

// run gives a thread the slice that just passed.
func (h *Host) run(t *thread) {
	t.runtime += h.opt.Slice
	t.work += h.opt.Slice * time.Duration(h.cpus[t.cpu].worth) / features.FullSpeed
	t.ran = h.now
	h.fault(t)
	if t.Life > 0 && t.runtime >= t.Life || t.Work > 0 && t.work >= t.Work {
		h.dequeue(t)
		h.drop(t)
		return
	}
	if t.left -= h.opt.Slice; t.Sleep > 0 && t.left <= 0 {
		h.dequeue(t)
		t.left = h.vary(t.Sleep)
	}
}

// age keeps a thread's average, which counts waiting as well as running, and
// wakes it once it has slept.
func (h *Host) age(t *thread) {
	t.runnable = t.runnable * h.decay >> 16
	if t.queued {
		t.runnable += 1024 * (65536 - h.decay)
		return
	}
	if h.byID[t.id] != t {
		return
	}
	if t.left -= h.opt.Slice; t.left <= 0 {
		t.left = h.vary(t.Run)
		h.enqueue(t, h.wake(t))
	}
}

// wake is a small select_idle_sibling(): where it ran, if that is idle, else an
// idle CPU of the same cache, else where it ran.
func (h *Host) wake(t *thread) int32 {
	prev := h.place(t, t.cpu)
	if len(h.cpus[prev].queue) == 0 {
		return prev
	}
	for c := range h.topo.LLCs[h.topo.CPUs[prev].LLC].All() {
		if t.allowed.Has(c) && len(h.cpus[c].queue) == 0 {
			return int32(c)
		}
	}
	return prev
}

// newIdle is a small newidle balance: each idle CPU takes the thread that has
// waited longest on the longest queue.
func (h *Host) newIdle() {
	for i := range h.cpus {
		if c := &h.cpus[i]; c.online && len(c.queue) == 0 {
			if t := h.waiting(i); t != nil {
				h.dequeue(t)
				h.enqueue(t, int32(i))
			} else {
				h.unshare(i)
			}
		}
	}
}

func (h *Host) waiting(cpu int) (best *thread) {
	longest := 1
	for i := range h.cpus {
		q := h.cpus[i].queue
		if len(q) <= longest {
			continue
		}
		if j := slices.IndexFunc(q[1:], func(t *thread) bool { return t.allowed.Has(cpu) && !t.MigrationDisabled }); j >= 0 {
			best, longest = q[j+1], len(q)
		}
	}
	return best
}

// fault counts the NUMA hinting faults of a slice; older ones lose weight, as
// in task_numa_placement() (kernel/sched/fair.c, 6.12).
func (h *Host) fault(t *thread) {
	if !h.opt.NUMABalancing || t.Flags&features.FlagKthread != 0 {
		return
	}
	home := t.Home
	if home < 0 || h.rng.IntN(5) == 0 {
		home = int32(h.topo.NodeOf(int(t.cpu)))
	}
	if int(home) < len(t.faults) {
		t.faults[home] += 16
	}
	for i, f := range t.faults {
		t.faults[i] = f - f/64
	}
}

// preferred returns the node with the most faults, once there are enough.
func (t *thread) preferred() int32 {
	best, sum := 0, uint64(0)
	for i, f := range t.faults {
		if sum += f; f > t.faults[best] {
			best = i
		}
	}
	if sum < 256 {
		return features.NoNode
	}
	return int32(best)
}
