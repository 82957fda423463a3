// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"mllb/features"
	"mllb/topology"
)

// Restore gives back what a killed mllbd left and removes its journal, if all
// that it says is known to be undone. Errors: ErrBusy while the mllbd lives;
// ErrJournal if it cannot be trusted: it is not obeyed but moved aside, so that
// nobody is stuck with it; ErrDamaged if lines of it cannot be read: what can is
// undone, and it stays; ErrNamespace; or what the system said.
func Restore(cfg Config) (Report, error) {
	e, err := newEnforcer(cfg)
	if err != nil {
		return Report{}, err
	}
	if e.file, err = lockState(e.cfg.StateDir); err != nil {
		return Report{}, err
	}
	report, err := e.recover()
	if errors.Is(err, ErrJournal) {
		to, moved := e.file.moveAside()
		if moved != nil {
			return report, errors.Join(err, moved, e.file.unlock())
		}
		err = fmt.Errorf("%w: moved to %s, nothing in it was obeyed", err, to)
		return report, errors.Join(err, e.file.unlock())
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w; it stays: %s", err, e.file.path())
	}
	if err == nil && report.Failed == 0 {
		err = e.file.remove()
	}
	return report, errors.Join(err, e.file.unlock())
}

// recover gives back what the journal of a killed predecessor lists. The
// journal stays as it is: a second attempt finds less to do.
func (e *Enforcer) recover() (Report, error) {
	var report Report
	h, err := e.file.read()
	if err != nil || h == nil {
		return report, err
	}
	boot, err := bootID(e.cfg.Root)
	if err != nil {
		return report, err
	}
	if h.header.Boot != boot {
		report.note("the journal is of another boot: its masks ended with that")
		return report, nil
	}
	ended, err := h.in.readable(e.cfg.Root)
	if err != nil {
		return report, fmt.Errorf("%s: %w", e.file.path(), err)
	}
	if ended {
		report.note("the journal is of a pid namespace that has ended: its threads ended with that")
		return report, nil
	}
	report.Notes = append(report.Notes, h.healed...)
	if err := e.mechanism(&h.header); err != nil {
		return report, fmt.Errorf("undo what mllbd %d did: %w", h.header.PID, err)
	}
	byStart := func(a, b *journaled) int { return cmp.Compare(a.Start, b.Start) }
	for _, j := range slices.SortedFunc(maps.Values(h.entries), byStart) {
		n := &entry{record: j.record, prev: j.Prev, seen: e.tick}
		for _, cpu := range j.Trail {
			e.lineage.extend(n, cpu, e.tick)
		}
		e.mark.remember(&n.record)
		e.marked = e.marked && n.Origin == originMark
		// Of threads with one id only the last may live. The end of another is
		// missing where its line was discarded, or could not be written.
		if old := e.known[n.TID]; old != nil {
			e.become(old, released)
		}
		switch {
		case j.Released:
			e.become(n, released)
		case j.Prev >= 0:
			e.become(n, moving)
		default:
			e.become(n, held)
		}
	}
	err = e.sweep(&report)
	if report.Failed == 0 && err == nil {
		err = e.mech.close()
	}
	if e.strangers > 0 {
		report.note("%d threads are held by another mllbd, or by one whose journal is gone: they stay as they are", e.strangers)
	}
	if own := ownNamespaces(e.cfg.Root); report.Failed > 0 && differs(h.in.User, own.User) {
		report.note("the journal is of user namespace user:[%d], this is user:[%d]", h.in.User, own.User)
	}
	if h.discarded > 0 && err == nil {
		err = fmt.Errorf("%w: %d, and what they held is not known", ErrDamaged, h.discarded)
	}
	// What comes next starts with nothing known; what failed stays in the journal.
	clear(e.known)
	e.filter, e.lineage, e.tick, e.stats.Held = filter{}, newLineage(e.sys), 1, 0
	return report, err
}

// Close gives every thread held its owner's mask back, and every child of one
// that is still narrowed, and removes the journal. If anything is left the
// journal stays for Restore, and the report or the error says what.
func (e *Enforcer) Close() (Report, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var report Report
	if e.closed {
		return report, nil
	}
	err := e.sweep(&report)
	e.closed = true
	if c, ok := e.mech.(*cpusets); ok && c.owner != nil {
		defer c.owner.close()
	}
	if report.Failed == 0 && err == nil {
		err = e.mech.close()
	}
	if report.Failed > 0 || err != nil {
		return report, errors.Join(err, e.flush(), e.file.unlock())
	}
	return report, errors.Join(e.file.remove(), e.file.unlock())
}

const (
	cleanPasses = 2  // passes in a row that must find nothing
	maxPasses   = 64 // a process that forks faster than we look could go on for ever

	// A fork copies the mask at its start and is seen by others only at its
	// end (copy_process, kernel/fork.c, 6.12); in between its thread may be
	// preempted for long. One that sleeps, or that got this much of a CPU since
	// its mask was widened, is past a fork that it had begun.
	forkTicks  = 2
	forkWait   = 5 * time.Millisecond
	patience   = 100  // clock ticks that threads which get no CPU are waited for
	unsettling = "RD" // states in which a thread may be in the middle of a fork
)

// sweep gives back every held thread, then looks for children until two passes
// over all threads of the host found none: one that is born of a child during
// a pass may have been passed over. Forks that were under way are waited for.
func (e *Enforcer) sweep(report *Report) error {
	e.tick++
	e.lineage.gather(e.tick, e.known)
	tried, again := make(map[features.ID]bool), newRetry()
	e.endHolds(report, tried, again)
	start, err := e.sys.Now()
	if err != nil {
		return err
	}
	parents := make(forks)
	for {
		// Asked before the passes, which then see the children of those that
		// are done; what they adopt is to be asked about in turn.
		more, past := e.forking(parents), len(e.lineage.past)
		if err := e.passes(report, tried, again); err != nil || report.Failed > 0 {
			return err
		}
		now, err := e.sys.Now()
		if err != nil || now-start > patience || !more && len(e.lineage.past) == past {
			return err
		}
		time.Sleep(forkWait)
	}
}

// endHolds gives back every held thread.
func (e *Enforcer) endHolds(report *Report, tried map[features.ID]bool, again *retry) {
	todo := slices.Collect(maps.Values(e.known))
	todo = slices.DeleteFunc(todo, func(n *entry) bool { return !n.state.holds() })
	for len(todo) > 0 {
		todo = slices.DeleteFunc(todo, func(n *entry) bool {
			o, err := e.giveBack(n, n.ID, n.TGID, n.ours)
			if o == failed && again.worth(err) {
				return false
			}
			report.count(o)
			switch o {
			case failed:
				report.note("thread %d: %v", n.TID, err)
				tried[features.ID{TID: n.TID}] = true
				return true
			case notOurs:
				tried[n.ID] = true
			}
			e.end(n)
			return true
		})
		if len(todo) > 0 {
			again.wait()
		}
	}
}

// forks is what is known of the parents that may be in the middle of a fork:
// the CPU time they had when first looked at, or done.
type forks map[features.ID]uint64

const done = math.MaxUint64

// forking reports whether a thread that was given back may be in the middle of
// a fork that copied the mask it had before.
func (e *Enforcer) forking(first forks) (any bool) {
	for _, n := range e.lineage.past {
		was, seen := first[n.ID]
		if was == done {
			continue
		}
		t, err := e.sys.Task(n.TGID, n.TID)
		switch {
		case err != nil && !errors.Is(err, ErrGone):
		case err != nil, t.ID != n.ID, strings.IndexByte(unsettling, t.State) < 0, seen && t.Ran >= was+forkTicks:
			first[n.ID] = done
			continue
		case !seen:
			first[n.ID] = t.Ran
		}
		any = true
	}
	return any
}

// passes looks at all threads until two passes in a row found no child.
func (e *Enforcer) passes(report *Report, tried map[features.ID]bool, again *retry) error {
	for clean, born := 0, 0; born < maxPasses; {
		found, err := e.pass(report, tried, again)
		switch {
		case again.worth(err):
			again.wait()
			clean = 0
		case err != nil:
			return err
		case found > 0:
			born++
			clean = 0
		default:
			if clean++; clean == cleanPasses {
				return nil
			}
		}
	}
	report.note("children of held threads were still being born after %d passes: run `mllbd restore` once they are fewer", maxPasses)
	report.Failed++
	return nil
}

// pass looks at every thread of the host once. An error that is worth another
// try may be of a single thread.
func (e *Enforcer) pass(report *Report, tried map[features.ID]bool, again *retry) (found int, err error) {
	if e.marked {
		return e.passMarks(report, tried, again)
	}
	var narrowed []topology.CPUSet
	for cpu, n := range e.lineage.trails {
		if n > 0 {
			narrowed = append(narrowed, topology.NewCPUSet(cpu))
		}
	}
	if len(narrowed) == 0 {
		return 0, nil
	}
	var lack error
	err = e.sys.Threads(narrowed, func(tgid, tid int32) bool {
		id, o, err := e.adopt(tgid, tid, tried)
		switch {
		case o == restored:
			report.Inherited++
			found++
		case o == failed && again.worth(err):
			lack = err
		case o == failed:
			report.note("thread %d: %v", tid, err)
			report.Failed++
			tried[id] = true
		}
		return true
	})
	if err == nil {
		err = lack
	}
	return found, err
}

// adopt gives a thread its owner's mask if it is the child of one that was
// given back. One that cannot be read may be.
func (e *Enforcer) adopt(tgid, tid int32, tried map[features.ID]bool) (features.ID, outcome, error) {
	unread := features.ID{TID: tid}
	if tried[unread] {
		return unread, notOurs, nil
	}
	t, err := e.sys.Task(tgid, tid)
	if errors.Is(err, ErrGone) {
		return unread, ended, nil
	}
	if err != nil {
		return unread, failed, err
	}
	if !e.suspicious(&t) || tried[t.ID] {
		return t.ID, notOurs, nil
	}
	c := suspect{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: single(t.Mask)}
	n := e.known[c.TID]
	var from *entry
	if n != nil && n.ID == c.ID && n.state == deferred {
		from = e.heldBefore(n, c)
	} else {
		from = e.lineage.find(c, false)
	}
	if err := e.lineage.unsure(); err != nil {
		return t.ID, failed, err
	}
	if from == nil {
		return t.ID, notOurs, nil
	}
	o, err := e.restoreChild(from, c)
	return t.ID, o, err
}

// suspicious reports whether a thread may have inherited its mask.
func (e *Enforcer) suspicious(t *Task) bool {
	cpu := single(t.Mask)
	if cpu < 0 || int(cpu) >= len(e.lineage.trails) || e.lineage.trails[cpu] == 0 || t.TID <= 1 || t.TGID <= 1 ||
		t.Flags&(flagExiting|features.FlagKthread|features.FlagNoSetAffinity) != 0 {
		return false
	}
	n := e.known[t.TID]
	return n == nil || n.ID != t.ID || n.state == deferred
}
