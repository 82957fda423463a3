// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"mllb/features"
	"mllb/topology"
)

// Sync ends leases that ran out, gives forked threads their owner's mask, and
// annotates the snapshot.
func (h *Host) Sync(s *features.Snapshot) error {
	for i := range s.Threads {
		w := &s.Threads[i]
		t := h.byID[w.ID]
		if t == nil {
			continue
		}
		if t.hold >= 0 && t.lease > 0 && t.lease <= h.now {
			t.hold = -1
		}
		if t.hold < 0 {
			t.allowed = t.owner // a child of a held thread inherited less
		}
		w.Managed = t.manageable()
		w.Owner, w.Hold = s.Mask(t.owner), t.hold
	}
	return nil
}

func (t *thread) manageable() bool {
	return (t.Policy == features.SchedOther || t.Policy == features.SchedBatch) &&
		t.Flags&(features.FlagKthread|features.FlagNoSetAffinity) == 0 && !t.Narrowed && !t.foreign
}

// Apply holds threads. What a real kernel would refuse it refuses with the same
// errno; what mllb must never ask for, Check reports.
func (h *Host) Apply(s *features.Snapshot, holds []features.Hold, lease time.Duration) []error {
	errs := make([]error, len(holds))
	for i, hold := range holds {
		errs[i] = h.hold(s.Threads[hold.Thread].ID, hold.CPU, lease)
	}
	return errs
}

func (h *Host) hold(id features.ID, cpu int32, lease time.Duration) error {
	t := h.byID[id]
	if t == nil {
		return fmt.Errorf("hold thread %d: %w", id.TID, syscall.ESRCH)
	}
	h.judge(t, cpu)
	if int(cpu) >= len(h.cpus) || !h.cpus[cpu].online {
		return fmt.Errorf("hold thread %d on cpu %d: %w", id.TID, cpu, syscall.EINVAL)
	}
	if n := h.opt.FailOneIn; n > 0 && h.rng.IntN(n) == 0 {
		return fmt.Errorf("hold thread %d on cpu %d: %w", id.TID, cpu, syscall.EPERM)
	}
	t.allowed, t.hold, t.lease = topology.NewCPUSet(int(cpu)), cpu, 0
	if lease > 0 {
		t.lease = h.now + int64(lease)
	}
	h.settle(t)
	return nil
}

// judge keeps the first hold that no plan may ask for.
func (h *Host) judge(t *thread, cpu int32) {
	switch {
	case h.lost != nil:
	case !t.manageable():
		h.lost = fmt.Errorf("thread %d is not ours, but was to be held on cpu %d", t.id.TID, cpu)
	case !t.owner.Has(int(cpu)):
		h.lost = fmt.Errorf("thread %d was to be held on cpu %d, outside its owner's mask %s", t.id.TID, cpu, t.owner)
	case t.MigrationDisabled && t.queued && t.cpu != cpu:
		h.lost = fmt.Errorf("thread %d was to be moved to cpu %d with migration disabled", t.id.TID, cpu)
	}
}

// Release gives threads their owner's mask back.
func (h *Host) Release(s *features.Snapshot, threads []int32) []error {
	errs := make([]error, len(threads))
	for _, i := range threads {
		if t := h.byID[s.Threads[i].ID]; t != nil && t.hold >= 0 {
			t.hold, t.allowed = -1, t.owner
		}
	}
	return errs
}

// Follow names the threads that are held.
func (h *Host) Follow(s *features.Snapshot) (whole bool) {
	for _, t := range h.threads {
		if t.hold >= 0 {
			s.Keep = append(s.Keep, uint64(t.id.TID))
		}
	}
	return false
}

// Held returns how many threads are held.
func (h *Host) Held() int {
	n := 0
	for _, t := range h.threads {
		if t.hold >= 0 {
			n++
		}
	}
	return n
}

// Check says which rule of a host is broken: a thread lost or queued twice, one
// on a CPU that is offline or outside its mask, a mask wider than the owner's,
// a thread touched that is not ours.
func (h *Host) Check() error {
	if h.lost != nil {
		return h.lost
	}
	queued := 0
	for i := range h.cpus {
		queued += len(h.cpus[i].queue)
		for _, t := range h.cpus[i].queue {
			if int(t.cpu) != i || !t.queued || h.byID[t.id] != t {
				return fmt.Errorf("thread %d is on the queue of cpu %d but not there", t.id.TID, i)
			}
		}
	}
	for _, t := range h.threads {
		if t.queued {
			queued--
		}
		if err := h.checkThread(t); err != nil {
			return err
		}
	}
	if queued != 0 || len(h.threads) != len(h.byID) {
		return errors.New("a thread was lost, or is queued twice")
	}
	return nil
}

func (h *Host) checkThread(t *thread) error {
	switch {
	case t.queued && !h.cpus[t.cpu].online:
		return fmt.Errorf("thread %d waits on cpu %d, which is offline", t.id.TID, t.cpu)
	case t.queued && !t.allowed.Has(int(t.cpu)):
		return fmt.Errorf("thread %d waits on cpu %d, outside its mask %s", t.id.TID, t.cpu, t.allowed)
	case !t.allowed.SubsetOf(t.owner):
		return fmt.Errorf("thread %d has mask %s, wider than its owner's %s", t.id.TID, t.allowed, t.owner)
	case t.hold < 0 && !t.manageable() && !t.allowed.Equal(t.owner):
		return fmt.Errorf("thread %d is not ours, but has mask %s instead of %s", t.id.TID, t.allowed, t.owner)
	}
	return nil
}
