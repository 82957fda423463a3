// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"slices"

	"mllb/features"
)

// Sync implements scheduler.Enforcer. It costs a bit test for a thread that is
// not held and one system call, for the time, unless a mask is not what it
// should be or a hold ended. Its error is of the journal or of masks that could
// not be given back; all else is done by then. The next Sync tries the masks
// again. Lines that the journal lacks would only have said that a hold ended:
// a successor takes that thread for held.
func (e *Enforcer) Sync(s *features.Snapshot) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.tick++
	e.time = s.Time
	lost := e.lostForks(s)
	if len(e.known) == 0 && len(e.lineage.past) == 0 && len(e.freeProcesses.of)+len(e.freeThreads.of) == 0 {
		return e.lineage.advance()
	}
	e.findNarrow(s)
	e.findMarks(s)
	e.suspects, e.differ, e.expired = e.suspects[:0], e.differ[:0], e.expired[:0]
	e.scan(s)
	var errs []error
	errs = append(errs, e.checkHeld(s)...)
	errs = append(errs, e.children(s, lost)...)
	for _, i := range e.expired {
		t := &s.Threads[i]
		if o, err := e.release(e.known[t.TID]); o == failed {
			errs = append(errs, fmt.Errorf("end the lease of thread %d: %w", t.TID, err))
		} else {
			t.Hold = -1
		}
	}
	e.prune(s)
	e.freeProcesses.prune(s.Time)
	e.freeThreads.prune(s.Time)
	if err := e.lineage.advance(); err != nil {
		errs = append(errs, err)
	}
	if err := e.flush(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Follow names in s the threads that the next snapshot is to have, since something is
// known of them. It reports whether that has to have all others as well: forks were
// lost, or nobody tells of forks, or there are known threads that it could not name.
func (e *Enforcer) Follow(s *features.Snapshot) (whole bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Keep = s.Keep[:0]
	for _, n := range e.known {
		s.Keep = append(s.Keep, n.task)
		whole = whole || n.task == 0
	}
	if e.cfg.Forks == nil {
		return true
	}
	lost, err := e.cfg.Forks.Lost()
	return whole || err != nil || lost != e.lost
}

// lostForks reports whether the ForkSource missed a fork since a snapshot had all
// threads.
func (e *Enforcer) lostForks(s *features.Snapshot) bool {
	if e.cfg.Forks == nil {
		return false
	}
	n, err := e.cfg.Forks.Lost()
	was := e.lost
	if !s.Partial {
		e.lost = n
	}
	return err != nil || n != was
}

// findNarrow marks the masks that children may have inherited.
func (e *Enforcer) findNarrow(s *features.Snapshot) {
	e.narrow = e.narrow[:0]
	for cpu, n := range e.lineage.trails {
		if n == 0 {
			continue
		}
		i := int(e.index(s, int32(cpu)))
		for i >= len(e.narrow) {
			e.narrow = append(e.narrow, false)
		}
		e.narrow[i] = true
	}
	for len(e.narrow) < len(s.Masks) {
		e.narrow = append(e.narrow, false)
	}
}

// index returns the index of the mask of one CPU, without allocating.
func (e *Enforcer) index(s *features.Snapshot, cpu int32) int32 {
	e.one.Add(int(cpu))
	i := s.Mask(e.one)
	e.one.Remove(int(cpu))
	return i
}

func (e *Enforcer) scan(s *features.Snapshot) {
	paused := len(e.freeProcesses.of)+len(e.freeThreads.of) > 0
	marked := e.marked && s.Asked
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Flags&(features.FlagKthread|flagExiting) != 0 {
			continue // of a held thread, prune takes it that it ended
		}
		if paused && e.free(t) {
			t.Managed = false
		}
		if e.filter.has(t.TID) {
			if n := e.known[t.TID]; n != nil && n.Start == t.Start {
				e.update(s, int32(i), n)
				continue
			}
		}
		if e.narrow[t.Allowed] || marked && t.Asked >= 0 && e.ours[t.Asked] {
			if !marked || e.suspect(s, t) {
				e.suspects = append(e.suspects, int32(i))
			}
		}
	}
}

// update takes in what the snapshot says of a known thread, and annotates it.
func (e *Enforcer) update(s *features.Snapshot, i int32, n *entry) {
	t := &s.Threads[i]
	n.seen, n.task = e.tick, t.Task
	switch n.state {
	case foreign, pinned:
		if n.state == foreign {
			t.Managed = false
		}
		// Another thread of its process may have become it by execve(2).
		if t.TID == t.TGID && e.suspect(s, t) {
			e.suspects = append(e.suspects, i)
		}
		return
	case deferred:
		e.suspects = append(e.suspects, i)
		return
	}
	if n.masks != s || int(n.owner) >= len(s.Masks) || !s.Masks[n.owner].Equal(n.Owner) {
		n.masks, n.owner, n.set = s, s.Mask(n.Owner), e.index(s, n.CPU)
	} else if int(n.set) >= len(s.Masks) || !s.Masks[n.set].Has(int(n.CPU)) {
		n.set = e.index(s, n.CPU)
	}
	t.Owner, t.Hold = n.owner, n.CPU
	switch {
	case s.Time <= n.at: // taken before the hold
	case t.Allowed != n.set, e.marked && s.Asked && !e.isOurs(t):
		e.differ = append(e.differ, i)
	case n.until > 0 && s.Time >= n.until:
		e.expired = append(e.expired, i)
	}
}

// checkHeld looks into held threads that do not have the mask that was set. The
// kernel is asked again: the snapshot is a moment old.
func (e *Enforcer) checkHeld(s *features.Snapshot) []error {
	var errs []error
	for _, i := range e.differ {
		t := &s.Threads[i]
		n := e.known[t.TID]
		now, err := e.task(n.TGID, n.TID)
		if err == nil && now.Start == n.Start && n.ours(now.Mask) && (now.Marked || !e.marked) {
			continue // held after all
		}
		switch o, err := e.giveBack(n, n.ID, n.TGID, n.ours); o {
		case failed:
			errs = append(errs, fmt.Errorf("give back thread %d: %w", n.TID, err))
		case notOurs:
			e.backOff(s, t, n)
		default:
			t.Hold = -1
			e.end(n)
		}
	}
	return errs
}

// backOff leaves a thread to its owner for as long as it lives.
func (e *Enforcer) backOff(s *features.Snapshot, t *features.Thread, n *entry) {
	e.end(n)
	e.stats.BackOffs++
	e.log.Info("its owner changed its mask: left alone", "tid", n.TID, "held", n.CPU)
	e.become(&entry{record: record{ID: n.ID, TGID: n.TGID}, seen: e.tick, task: n.task}, foreign)
	if s != nil {
		t.Managed, t.Hold, t.Owner = false, -1, t.Allowed
	}
}

// Release gives the threads their owner's mask back. A thread that is not
// held, or that its owner took over, is no error.
func (e *Enforcer) Release(s *features.Snapshot, threads []int32) []error {
	errs := make([]error, len(threads))
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, at := range threads {
		t := &s.Threads[at]
		n := e.known[t.TID]
		if n == nil || n.ID != t.ID || !n.state.holds() {
			continue
		}
		if o, err := e.release(n); o == failed {
			errs[i] = fmt.Errorf("release thread %d: %w", t.TID, err)
		}
	}
	if err := e.flush(); err != nil {
		e.log.Warn("threads that were released stay in the journal", "err", err)
	}
	return errs
}

// release ends one hold.
func (e *Enforcer) release(n *entry) (outcome, error) {
	o, err := e.giveBack(n, n.ID, n.TGID, n.ours)
	switch o {
	case failed:
		return o, err
	case notOurs:
		e.backOff(nil, nil, n)
	default:
		e.end(n)
	}
	return o, nil
}

// forget is for a known thread that has ended.
func (e *Enforcer) forget(n *entry) {
	if n.state.holds() {
		e.end(n)
	} else {
		e.become(n, none)
	}
}

// prune forgets what ended, after its children have been seen to.
func (e *Enforcer) prune(s *features.Snapshot) {
	for _, n := range e.known {
		if n.seen != e.tick && !(n.state.holds() && s.Time <= n.at) {
			e.forget(n)
			continue
		}
		if len(n.trail) > 1 && e.tick-n.moved > keepTicks {
			e.lineage.trim(n, 1)
		}
	}
	drop := 0
	past := e.lineage.past
	for drop < len(past) && e.tick-past[drop].seen > keepTicks {
		e.forgetPast(past[drop])
		drop++
	}
	e.lineage.past = slices.Delete(past, 0, drop)
	if len(e.known) == 0 || e.tick&63 == 0 {
		e.filter = filter{}
		for tid := range e.known {
			e.filter.add(tid)
		}
	}
}

// forgetPast forgets a thread that is past. The journal hears of it unless the
// thread is held anew, or was never in it.
func (e *Enforcer) forgetPast(n *entry) {
	if e.lineage.latest[n.TID] == n {
		h := e.known[n.TID]
		holds := h != nil && h.state.holds()
		if !holds {
			e.untrack(n.TID)
		}
		if n.state == released && !(holds && h.ID == n.ID) {
			e.line(&n.record, opForgotten)
		}
	}
	e.become(n, none)
}
