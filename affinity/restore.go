// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"

	"mllb/features"
	"mllb/topology"
)

// outcome says what became of an attempt to give a mask back.
type outcome uint8

const (
	restored  outcome = iota
	unchanged         // it had its owner's mask
	ended             // there is no such thread any more
	notOurs           // it has a mask that mllb did not set
	failed            // the error says why; it is worth another try
)

// count adds an outcome to a report.
func (r *Report) count(o outcome) {
	*[...]*int{restored: &r.Restored, unchanged: &r.Unchanged, ended: &r.Gone, notOurs: &r.Foreign, failed: &r.Failed}[o]++
}

// giveBack gives the thread id of process tgid n's owner's mask if its mask is
// still ours; the thread is n itself or one that inherited n's mask.
//
// A thread id can be reused. The watch is opened before the start time is read
// and asked after the mask is set, so a thread that was alive throughout is
// the one meant. If it was not, the id was free for a moment, and the kernel
// hands ids out in turn (kernel/pid.c, idr_alloc_cyclic): a stranger can have
// got the mask only if all other ids were used up within microseconds. That is
// seen, counted and said, but cannot be undone: its own mask is not known.
func (e *Enforcer) giveBack(n *entry, id features.ID, tgid int32, ours func(topology.CPUSet) bool) (outcome, error) {
	given, done, err := e.guard(id.TID)
	if err != nil {
		return e.failure(err)
	}
	defer done()
	o, err := e.widenIfOurs(n, id, tgid, ours)
	if o == restored && e.overtook(id.TID, given) {
		e.stats.Restored--
		o = notOurs
	}
	return o, err
}

func (e *Enforcer) widenIfOurs(n *entry, id features.ID, tgid int32, ours func(topology.CPUSet) bool) (outcome, error) {
	alive, done, err := e.sys.Watch(id.TID)
	if err != nil {
		return e.failure(err)
	}
	defer done()
	t, err := e.task(tgid, id.TID)
	if err != nil {
		return e.failure(err)
	}
	mine := ours(t.Mask) && !(e.cfg.Forks != nil && e.cfg.Forks.Pinned(id.TID))
	if e.marked {
		mine = t.Marked || n.ID != id && e.torn(&t)
	}
	switch {
	case t.Start != id.Start, t.Flags&flagExiting != 0:
		return ended, nil
	case t.Flags&(features.FlagKthread|features.FlagNoSetAffinity) != 0:
		return notOurs, nil
	case !mine && t.Mask.Equal(n.Owner):
		return unchanged, nil
	case !mine:
		return e.explain(n, &t)
	}
	mine, err = e.mech.mine(tgid, id.TID)
	if err != nil {
		return e.failure(err)
	}
	if !mine {
		return notOurs, nil
	}
	if err := e.mech.widen(&n.record, tgid, id.TID); err != nil {
		return e.failure(err)
	}
	e.strayed(alive, tgid, id)
	e.stats.Restored++
	return restored, nil
}

// guard has overtook know of the masks that anybody else gives a thread from now on.
func (e *Enforcer) guard(tid int32) (given func() topology.CPUSet, done func(), err error) {
	if e.cfg.Forks == nil {
		return func() topology.CPUSet { return nil }, func() {}, nil
	}
	return e.cfg.Forks.Guard(tid)
}

// overtook reports whether anybody else gave a thread a mask while it was looked at
// and changed, and gives it that: which of the two came last is not known. What the
// kernel refused them changed nothing.
func (e *Enforcer) overtook(tid int32, given func() topology.CPUSet) (was bool) {
	for range maxOvertakings {
		mask := given()
		if mask == nil {
			break
		}
		was = e.sys.SetAffinity(tid, mask) == nil || was
	}
	return was
}

// maxOvertakings ends a race with one who sets masks all the time.
const maxOvertakings = 16

// explain tells why a held thread's mask is neither ours nor its owner's: if the
// kernel changed it, and not the owner, the owner's mask is set again.
func (e *Enforcer) explain(n *entry, t *Task) (outcome, error) {
	if n.ID != t.ID {
		return notOurs, nil
	}
	// A thread that called execve has the mask that it had under its own id.
	if cpu := single(t.Mask); cpu >= 0 && !e.marked {
		e.lineage.gather(e.tick, e.known)
		c := suspect{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: cpu}
		from := e.lineage.executed(c)
		if err := e.lineage.unsure(); err != nil {
			return e.failure(err)
		}
		if from != nil {
			return e.widen(from, t)
		}
	}
	// When the last CPU of a mask goes offline the kernel gives the thread its
	// cpuset's or every CPU, and forgets what was asked for
	// (select_fallback_rq, do_set_cpus_allowed in kernel/sched/core.c, 6.12).
	online, err := e.sys.Online()
	if err != nil {
		return e.failure(err)
	}
	if !online.Has(int(n.CPU)) && n.Owner.SubsetOf(t.Mask) {
		return e.widen(n, t)
	}
	// If its cpuset lost the CPU, the kernel remembers our mask and would
	// apply it again should the CPU come back. Asking for every CPU changes
	// nothing now and undoes that.
	if n.Full && !t.Mask.Has(int(n.CPU)) {
		widest, err := e.sys.Widest(t.TGID, t.TID)
		if err != nil {
			return e.failure(err)
		}
		if widest.Equal(t.Mask) {
			return e.widen(n, t)
		}
	}
	return notOurs, nil
}

func (e *Enforcer) widen(n *entry, t *Task) (outcome, error) {
	if err := e.mech.widen(&n.record, t.TGID, t.TID); err != nil {
		return e.failure(err)
	}
	e.stats.Restored++
	return restored, nil
}

// failure sorts errors: a thread that ended is none.
func (e *Enforcer) failure(err error) (outcome, error) {
	if errors.Is(err, ErrGone) {
		e.stats.Gone++
		return ended, nil
	}
	e.stats.Failed++
	return failed, err
}

// strayed says whether a mask was set on a thread that took over the id.
func (e *Enforcer) strayed(alive func() bool, tgid int32, id features.ID) bool {
	if alive() {
		return false
	}
	if t, err := e.sys.Task(tgid, id.TID); err == nil && t.Start != id.Start {
		e.stats.Strays++
		e.log.Warn("a thread id was reused while its mask was set: check that thread's affinity", "tid", id.TID)
	}
	return true
}
