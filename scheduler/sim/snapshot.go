// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"

	"mllb/features"
)

// Snapshot fills s with the host's state now.
func (h *Host) Snapshot(s *features.Snapshot) error {
	s.Reset()
	s.Time = h.now
	s.NUMABalancing = h.opt.NUMABalancing
	s.MigrationCost = int64(h.opt.MigrationCost)
	for len(s.Runqueues) < len(h.cpus) {
		s.Runqueues = append(s.Runqueues, features.Runqueue{})
	}
	for i := range h.cpus {
		s.Runqueues[i].Online, s.Runqueues[i].Clock = h.cpus[i].online, uint64(h.now)
	}
	clear(h.groups)
	for _, t := range h.threads {
		if t.Grouped {
			h.groups[t.TGID] = sum(h.groups[t.TGID], t.faults)
		}
	}
	for _, t := range h.threads {
		s.Threads = append(s.Threads, h.snap(s, t))
		count(&s.Runqueues[t.cpu], &s.Threads[len(s.Threads)-1], int32(h.topo.NodeOf(int(t.cpu))))
	}
	return nil
}

// Awake fills s with the threads that are queued and those of s.Keep.
func (h *Host) Awake(s *features.Snapshot) error {
	err := h.Snapshot(s)
	s.Partial = true
	s.Threads = slices.DeleteFunc(s.Threads, func(t features.Thread) bool {
		return !t.Queued() && !slices.Contains(s.Keep, t.Task)
	})
	return err
}

func (h *Host) snap(s *features.Snapshot, t *thread) features.Thread {
	w := features.Thread{
		ID: t.id, Task: uint64(t.id.TID), TGID: t.TGID, PPID: 1, CPU: t.cpu, State: 'S', MigrationDisabled: t.MigrationDisabled,
		Policy: t.Policy, Flags: t.Flags, Nice: t.Nice,
		Runnable: uint32(t.runnable >> 16), Runtime: uint64(t.runtime), Delta: h.now - t.ran,
		PreferredNode: features.NoNode, Faults: -1, Hold: -1,
	}
	copy(w.Comm[:len(w.Comm)-1], t.Comm)
	w.Load = uint64(w.Runnable) // of nice 0; the sim's policies need no more
	if t.queued {
		w.State = features.StateRunning
		w.Running = h.cpus[t.cpu].queue[0] == t
	}
	w.Allowed = s.Mask(t.allowed)
	w.Owner = w.Allowed
	if h.opt.NUMABalancing && t.Flags&features.FlagKthread == 0 && t.runtime > 0 {
		h.snapFaults(s, t, &w)
	}
	return w
}

func (h *Host) snapFaults(s *features.Snapshot, t *thread, w *features.Thread) {
	w.PreferredNode = t.preferred()
	w.NUMAType = features.HasFaults
	f := features.NodeFaults{Task: sum(nil, t.faults)}
	f.TaskTotal = total(f.Task)
	if t.Grouped {
		w.NUMAType |= features.HasGroup
		f.Group = sum(nil, h.groups[t.TGID])
		f.GroupTotal = total(f.Group)
	}
	w.Faults = int32(len(s.Faults))
	s.Faults = append(s.Faults, f)
}

// count adds a thread to its runqueue's figures. Load of threads that sleep
// stays with the queue until it decays, as in the kernel.
func count(rq *features.Runqueue, t *features.Thread, node int32) {
	rq.LoadAvg += t.Load
	if !t.Queued() {
		return
	}
	rq.NrRunning++
	rq.NrQueued++
	if t.PreferredNode != features.NoNode {
		rq.NrNUMARunning++
		if t.PreferredNode == node {
			rq.NrPreferredRunning++
		}
	}
}

// sum adds b to a copy of a; the longer length wins.
func sum(a, b []uint64) []uint64 {
	r := make([]uint64, max(len(a), len(b)))
	copy(r, a)
	for i, x := range b {
		r[i] += x
	}
	return r
}

func total(faults []uint64) (n uint64) {
	for _, f := range faults {
		n += f
	}
	return n
}
