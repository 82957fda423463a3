// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"cmp"
	"fmt"
	"slices"

	"mllb/features"
	"mllb/topology"
)

// children gives the masks back that were inherited. Parents come before their
// children, so that each child finds its relative.
func (e *Enforcer) children(s *features.Snapshot) []error {
	if len(e.suspects) == 0 {
		return nil
	}
	e.meet()
	lost := e.lostForks()
	slices.SortFunc(e.suspects, func(a, b int32) int { return cmp.Compare(s.Threads[a].Start, s.Threads[b].Start) })
	var errs []error
	for _, i := range e.suspects {
		t := &s.Threads[i]
		c := kin{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: int32(s.Masks[t.Allowed].First())}
		was, settled := e.sought(c)
		if was == nil && !settled {
			e.setAside(t, pinned)
		}
		if was == nil {
			continue
		}
		if was.tracked && !lost && !settled {
			e.leave(t)
			continue
		}
		o, err := e.adopt(was, c)
		switch o {
		case failed:
			e.setAside(t, waiting)
			errs = append(errs, fmt.Errorf("give thread %d the mask of its parent's owner: %w", t.TID, err))
		case notOurs:
			e.setAside(t, pinned)
		default:
			t.Owner = s.Mask(was.Owner)
			t.Allowed = t.Owner
		}
	}
	return errs
}

// sought returns the relative of a suspect. Of a thread that is settled already
// only what execve(2) can do is of interest.
func (e *Enforcer) sought(c kin) (was *entry, settled bool) {
	n := e.known[c.TID]
	if n == nil || n.ID != c.ID {
		return e.family.relative(c, false), false
	}
	if n.state == waiting {
		return e.family.relative(c, true), false
	}
	return e.family.executed(c), true
}

// deferTicks is for how long a suspect is left to the ForkSource.
const deferTicks = 3

// leave leaves a thread to the ForkSource, which knows for certain whether it
// is a child: if it has not said so in time, the owner pinned the thread.
func (e *Enforcer) leave(t *features.Thread) {
	n := e.known[t.TID]
	if n == nil || n.ID != t.ID {
		e.setAside(t, waiting)
		return
	}
	if n.waits++; n.waits >= deferTicks {
		n.state = pinned
	}
}

func (e *Enforcer) setAside(t *features.Thread, as standing) {
	if old := e.known[t.TID]; old != nil && old.ID != t.ID {
		e.forgetDead(old)
	}
	e.learn(&entry{record: record{ID: t.ID, TGID: t.TGID}, state: as, seen: e.tick})
}

// lostForks reports whether the ForkSource missed a fork since the last call.
func (e *Enforcer) lostForks() bool {
	if e.cfg.Forks == nil {
		return false
	}
	n, err := e.cfg.Forks.Lost()
	was := e.lost
	e.lost = n
	return err != nil || n != was
}

// adopt gives c the mask of its relative's owner and makes it a relative: its
// own children may be born already.
func (e *Enforcer) adopt(was *entry, c kin) (outcome, error) {
	o, err := e.giveBack(was, c.ID, c.TGID, func(m topology.CPUSet) bool { return single(m) == c.CPU })
	if o == failed || o == notOurs {
		return o, err
	}
	if o == restored {
		e.stats.Forks++
	}
	if n := e.known[c.TID]; n != nil && n.ID == c.ID && n.state != held {
		e.unlearn(n)
	}
	child := &entry{record: was.record, prev: -1, child: true}
	child.ID, child.TGID, child.Session, child.CPU = c.ID, c.TGID, c.Session, c.CPU
	child.Since = max(c.Start, was.Since) // a thread that called execve is older than its hold
	e.follow(child, c.CPU)
	e.bury(child)
	if e.met == e.tick {
		e.family.add(child)
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
	if n := e.known[f.Child.TID]; n != nil && n.ID == f.Child && n.state == held {
		return // Sync found it first, and it is held by now
	}
	defer e.untrack(f.Child.TID)
	was := e.known[f.Parent]
	if was == nil || was.state != held {
		was = e.gone[f.Parent]
	}
	if was == nil {
		return
	}
	t, err := e.sys.Task(f.TGID, f.Child.TID)
	if err != nil || t.Start != f.Child.Start {
		e.stats.Gone++
		t = Task{ID: f.Child, TGID: f.TGID, Session: was.Session, Mask: topology.NewCPUSet(int(was.CPU))}
	}
	cpu := single(t.Mask)
	if !slices.Contains(was.trail, cpu) {
		return
	}
	c := kin{ID: f.Child, TGID: f.TGID, PPID: t.PPID, Session: t.Session, CPU: cpu}
	if o, err := e.adopt(was, c); o == failed {
		e.log.Warn("the mask of a held thread's child stays narrowed until the next tick", "tid", c.TID, "err", err)
	}
	if err := e.flush(); err != nil {
		e.log.Warn("fork following", "err", err)
	}
}
