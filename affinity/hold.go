// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"os"
	"time"

	"mllb/features"
	"mllb/topology"
)

// Apply holds each thread on its CPU, for lease or, if that is 0, until it is
// released. Errors: ErrSystem, ErrForeign, ErrCPU, ErrChanged, ErrGone,
// ErrOutside, ErrClosed, or what the system said. A hold on the only CPU that
// the owner allows is no hold, and no error.
//
// The owner's mask is read again right before it is narrowed. A change by the owner
// between those two calls, some microseconds, is put back if the ForkSource can
// tell, and lost otherwise. The mask is not read back after: Sync looks at every
// mask on the next tick anyway.
func (e *Enforcer) Apply(s *features.Snapshot, holds []features.Hold, lease time.Duration) []error {
	errs := make([]error, len(holds))
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := e.sys.Now()
	if e.closed {
		err = ErrClosed
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	until := int64(0)
	if lease > 0 {
		until = s.Time + int64(lease)
	}
	todo := make([]*entry, len(holds))
	leads := e.leaders(s, holds)
	for i, h := range holds {
		if todo[i], errs[i] = e.intend(s, h, now, leads); todo[i] != nil {
			todo[i].until, todo[i].at = until, s.Time
		}
	}
	if err := e.flush(); err != nil {
		for i, n := range todo {
			if n != nil {
				errs[i] = err
			}
		}
		e.undo(todo, false)
		return errs
	}
	for i, n := range todo {
		if n != nil {
			errs[i] = e.hold(n)
		}
	}
	e.undo(todo, true)
	if err := e.flush(); err != nil {
		e.log.Warn("holds that failed stay in the journal", "err", err)
	}
	return errs
}

// leaders returns the mask's CPU of the leader of each process of which a
// thread that does not lead is to be held: -1 where it has several, or is ours.
// The lineage needs it.
func (e *Enforcer) leaders(s *features.Snapshot, holds []features.Hold) map[int32]int32 {
	if e.marked {
		return nil
	}
	var leads map[int32]int32
	for _, h := range holds {
		if t := &s.Threads[h.Thread]; t.TID != t.TGID {
			if leads == nil {
				leads = make(map[int32]int32)
			}
			leads[t.TGID] = -1
		}
	}
	if leads == nil {
		return nil
	}
	seen := make(map[int32]bool)
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.TID != t.TGID {
			continue
		}
		if _, wanted := leads[t.TGID]; !wanted {
			continue
		}
		e.lead(leads, t.ID, s.Masks[t.Allowed])
		seen[t.TGID] = true
	}
	for tgid := range leads {
		if seen[tgid] || !s.Partial {
			continue
		}
		if t, err := e.sys.Task(tgid, tgid); err == nil { // it sleeps
			e.lead(leads, t.ID, t.Mask)
		}
	}
	return leads
}

func (e *Enforcer) lead(leads map[int32]int32, leader features.ID, mask topology.CPUSet) {
	if n := e.known[leader.TID]; n == nil || n.ID != leader || !n.state.holds() {
		leads[leader.TID] = single(mask)
	}
}

// intend checks a hold and writes it for the journal. It returns nil where
// there is nothing to do.
func (e *Enforcer) intend(s *features.Snapshot, h features.Hold, now uint64, leads map[int32]int32) (*entry, error) {
	t := &s.Threads[h.Thread]
	if t.TID <= 1 || t.TGID <= 1 || int(t.TGID) == os.Getpid() || t.Flags&(features.FlagKthread|features.FlagNoSetAffinity) != 0 {
		return nil, fmt.Errorf("hold thread %d: %w", t.TID, ErrSystem)
	}
	n := e.known[t.TID]
	if n != nil && n.ID != t.ID { // the id was reused
		e.forget(n)
		n = nil
	}
	if n != nil && n.state == foreign {
		return nil, fmt.Errorf("hold thread %d: %w", t.TID, ErrForeign)
	}
	again := n != nil && n.state.holds()
	owner := s.Masks[t.Allowed]
	if again {
		owner = n.Owner
	}
	if !owner.Has(int(h.CPU)) {
		return nil, fmt.Errorf("hold thread %d on cpu %d, its owner allows {%s}: %w", t.TID, h.CPU, owner, ErrCPU)
	}
	if again && n.CPU == h.CPU {
		return n, nil // a new lease, if that
	}
	if owner.Count() < 2 {
		return nil, nil
	}
	if again && n.state != held {
		return nil, fmt.Errorf("hold thread %d on cpu %d: the plan has it on cpu %d as well", t.TID, h.CPU, n.CPU)
	}
	if err := e.mech.ready(h.CPU); err != nil {
		return nil, fmt.Errorf("hold thread %d on cpu %d: %w", t.TID, h.CPU, err)
	}
	if again {
		n.prev, n.CPU = n.CPU, h.CPU
		e.become(n, moving)
	} else {
		var err error
		if n, err = e.newEntry(s, t, h.CPU, now); err != nil {
			return nil, fmt.Errorf("hold thread %d on cpu %d: %w", t.TID, h.CPU, err)
		}
		n.Lead = leads[t.TGID] == h.CPU && t.TID != t.TGID
	}
	e.line(&n.record, opHold)
	e.lineage.extend(n, n.CPU, e.tick)
	return n, nil
}

func (e *Enforcer) newEntry(s *features.Snapshot, t *features.Thread, cpu int32, now uint64) (*entry, error) {
	n := &entry{
		record: record{ID: t.ID, TGID: t.TGID, Session: t.Session, Cgroup: t.Cgroup,
			CPU: cpu, Owner: s.Masks[t.Allowed].Clone(), Since: now},
		seen: e.tick, task: t.Task,
	}
	widest, err := e.sys.Widest(t.TGID, t.TID)
	if err != nil {
		return nil, err
	}
	n.Full = widest.SubsetOf(n.Owner)
	if n.Origin, err = e.mech.origin(t.TGID, t.TID); err != nil {
		return nil, err
	}
	if old := e.lineage.latest[t.TID]; old != nil && old.ID == t.ID {
		n.Since = old.Since
		for _, cpu := range old.trail {
			e.lineage.extend(n, cpu, e.tick)
		}
	}
	e.mark.remember(&n.record)
	e.become(n, narrowing)
	return n, nil
}

// hold narrows a thread whose intent is in the journal.
func (e *Enforcer) hold(n *entry) error {
	if n.state == held {
		return nil // a new lease only
	}
	err := e.narrowTo(n)
	switch {
	case err == nil:
		e.become(n, held)
		e.stats.Holds++
		return nil
	case errors.Is(err, ErrGone):
		e.stats.Gone++
	case !errors.Is(err, ErrChanged):
		e.stats.Failed++
	}
	return fmt.Errorf("hold thread %d on cpu %d: %w", n.TID, n.CPU, err)
}

// undo takes back the intents that came to nothing. With written set, the
// journal must hear of it.
func (e *Enforcer) undo(todo []*entry, written bool) {
	for _, n := range todo {
		switch {
		case n == nil:
		case n.state == moving: // it is held as before
			n.CPU = n.prev
			e.become(n, held)
			if written {
				e.line(&n.record, opHold)
				e.lineage.extend(n, n.CPU, e.tick)
			}
		case n.state == narrowing:
			e.become(n, none)
			e.untrack(n.TID)
			if !written {
				break
			}
			op := opForgotten
			if old := e.lineage.latest[n.TID]; old != nil && old.ID == n.ID {
				op = opReleased // an earlier hold still has its children to watch
			}
			e.line(&n.record, op)
		}
	}
}

func (e *Enforcer) narrowTo(n *entry) error {
	e.track(n)
	alive, done, err := e.sys.Watch(n.TID)
	if err != nil {
		return err
	}
	defer done()
	given, unguard, err := e.guard(n.TID)
	if err != nil {
		return err
	}
	defer unguard()
	t, err := e.task(n.TGID, n.TID)
	if err != nil {
		return err
	}
	if t.Start != n.Start || t.Flags&flagExiting != 0 {
		return ErrGone
	}
	was := single(t.Mask) == n.prev
	if e.marked {
		was = t.Marked
	}
	if !t.Mask.Equal(n.Owner) && (n.state != moving || !was) {
		return ErrChanged
	}
	if err := e.mech.narrow(&n.record); err != nil {
		return err
	}
	if e.strayed(alive, n.TGID, n.ID) {
		return ErrGone
	}
	if e.overtook(n.TID, given) {
		return ErrChanged
	}
	return nil
}
