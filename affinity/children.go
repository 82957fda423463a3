// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/topology"
)

// children gives the masks back that were inherited. Parents come before their
// children, so that each child finds its ancestor.
func (e *Enforcer) children(s *features.Snapshot, lost bool) []error {
	if len(e.suspects) == 0 {
		return nil
	}
	if e.marked && s.Asked {
		return e.heirs(s, lost)
	}
	e.lineage.gather(e.tick, e.known)
	slices.SortFunc(e.suspects, func(a, b int32) int { return cmp.Compare(s.Threads[a].Start, s.Threads[b].Start) })
	var errs []error
	for _, i := range e.suspects {
		t := &s.Threads[i]
		c := suspect{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: int32(s.Masks[t.Allowed].First())}
		from, settled := e.ancestor(c)
		if err := e.lineage.unsure(); err != nil {
			e.log.Debug("whose child it is will be asked again", "tid", c.TID, "err", err)
			if !settled {
				e.setAside(t, deferred)
			}
			continue
		}
		if from == nil && !settled {
			e.setAside(t, pinned)
		}
		if from == nil {
			continue
		}
		if from.tracked && !lost && !settled {
			e.deferTo(t)
			continue
		}
		o, err := e.restoreChild(from, c)
		switch o {
		case failed:
			e.setAside(t, deferred)
			e.known[t.TID].from = from
			errs = append(errs, fmt.Errorf("give thread %d the mask of its parent's owner: %w", t.TID, err))
		case notOurs:
			e.setAside(t, pinned)
		default:
			t.Owner = s.Mask(from.Owner)
			t.Allowed = t.Owner
		}
	}
	return errs
}

// ancestor returns the thread whose mask a suspect has, or nil. Of a thread that
// is settled already, or that got its owner's mask before, only what execve(2) can
// do is of interest: a mask is inherited once.
func (e *Enforcer) ancestor(c suspect) (from *entry, settled bool) {
	n := e.known[c.TID]
	if n == nil || n.ID != c.ID {
		if past := e.lineage.latest[c.TID]; past != nil && past.ID == c.ID && past.state == inherited {
			return e.lineage.executed(c), false
		}
		return e.lineage.find(c, false), false
	}
	if n.state == deferred {
		return e.heldBefore(n, c), false
	}
	return e.lineage.executed(c), true
}

// heldBefore returns the thread whose mask a deferred one has, or nil. What was found
// once stays: its parents may have ended since.
func (e *Enforcer) heldBefore(n *entry, c suspect) *entry {
	if n.from != nil {
		return n.from
	}
	return e.lineage.find(c, true)
}

// deferTicks is for how long a suspect is left to the ForkSource.
const deferTicks = 3

// deferTo leaves a thread to the ForkSource, which knows for certain whether it
// is a child: if it has not said so in time, the owner pinned the thread.
func (e *Enforcer) deferTo(t *features.Thread) {
	n := e.known[t.TID]
	if n == nil || n.ID != t.ID {
		e.setAside(t, deferred)
		return
	}
	if n.waited++; n.waited >= deferTicks {
		e.become(n, pinned)
	}
}

// setAside notes what a suspect is that is not given a mask.
func (e *Enforcer) setAside(t *features.Thread, as state) {
	if old := e.known[t.TID]; old != nil && old.ID != t.ID {
		e.forget(old)
	}
	e.become(&entry{record: record{ID: t.ID, TGID: t.TGID}, seen: e.tick, task: t.Task}, as)
}

// restoreChild gives c the mask of its ancestor's owner. It is kept in turn: its
// own children may be born already.
func (e *Enforcer) restoreChild(from *entry, c suspect) (outcome, error) {
	o, err := e.giveBack(from, c.ID, c.TGID, func(m topology.CPUSet) bool { return single(m) == c.CPU })
	if o == failed || o == notOurs {
		return o, err
	}
	if o == restored {
		e.stats.Forks++
	}
	if n := e.known[c.TID]; n != nil && n.ID == c.ID && !n.state.holds() {
		e.become(n, none)
	}
	child := &entry{record: from.record, tracked: from.tracked} // the ForkSource follows children by itself
	child.ID, child.TGID, child.Session, child.CPU = c.ID, c.TGID, c.Session, c.CPU
	child.Since = max(c.Start, from.Since) // a thread that called execve is older than its hold
	e.lineage.extend(child, c.CPU, e.tick)
	e.become(child, inherited)
	if e.lineage.gathered == e.tick {
		e.lineage.group(child)
	}
	return o, nil
}

// Forked gives the child of a held thread its owner's mask, at once. It is for
// the reader of the ForkSource to call.
func (e *Enforcer) Forked(f Fork) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	if n := e.known[f.Child.TID]; n != nil && n.ID == f.Child && n.state.holds() {
		return // Sync found it first, and it is held by now
	}
	defer func() {
		if n := e.lineage.latest[f.Child.TID]; n == nil || n.ID != f.Child {
			e.untrack(f.Child.TID)
		}
	}()
	from := e.known[f.Parent]
	if from == nil || !from.state.holds() {
		from = e.lineage.latest[f.Parent]
	}
	if from == nil {
		return
	}
	if from.state != released {
		defer e.leave(from, f) // the child first
	}
	if e.marked {
		e.born(f, from)
		return
	}
	t, err := e.sys.Task(f.TGID, f.Child.TID)
	if err != nil || t.Start != f.Child.Start {
		e.stats.Gone++
		t = Task{ID: f.Child, TGID: f.TGID, Session: from.Session, Mask: topology.NewCPUSet(int(from.CPU))}
	}
	cpu := single(t.Mask)
	if !slices.Contains(from.trail, cpu) {
		return
	}
	if e.beside {
		e.sys.Beside(cpu)
	}
	c := suspect{ID: f.Child, TGID: f.TGID, PPID: t.PPID, Session: t.Session, CPU: cpu}
	if o, err := e.restoreChild(from, c); o == failed {
		e.log.Warn("the mask of a held thread's child stays narrowed until the next tick", "tid", c.TID, "err", err)
	}
	if err := e.flush(); err != nil {
		e.log.Warn("fork following", "err", err)
	}
}

// Beside has Forked run on the child's CPU, ahead of it: it can then not pin
// itself between the look at its mask and the change. Whoever calls Forked calls
// it first, and keeps its goroutine's OS thread to that. Without CAP_SYS_NICE
// the child is only unlikely to.
func (e *Enforcer) Beside() {
	runtime.LockOSThread()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.beside = true
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
		e.log.Info("a child that pins itself at the very moment at which its mask is given back may lose its own", "why", err)
	}
}

// born is Forked where marks tell whose the child's mask is.
func (e *Enforcer) born(f Fork, from *entry) {
	t, err := e.task(f.TGID, f.Child.TID)
	if err == nil && t.ID == f.Child && (t.Marked || e.torn(&t)) {
		if e.beside {
			e.sys.Beside(single(t.Mask))
		}
		_, o, failure := e.inherited(t)
		if o != failed {
			return
		}
		err = failure
	}
	if err != nil && !errors.Is(err, ErrGone) {
		e.log.Warn("the mask of a held thread's child stays narrowed until the next tick", "tid", f.Child.TID, "of", from.TID, "err", err)
	}
}
