// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"mllb/features"
	"mllb/topology"
)

// Restore gives back what a killed mllbd left and removes its journal. A
// journal that cannot be trusted is not obeyed but moved aside, and a note
// says so, so that nobody is stuck with it. Errors: ErrBusy while the mllbd
// lives, or what the system said.
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
		report.note("%v: moved to %s, nothing in it was obeyed", err, to)
		err = nil
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
	report.Notes = append(report.Notes, h.healed...)
	if e.mech, err = newMechanism(&e.cfg, h.header.Kind, h.header.Dir); err != nil {
		return report, fmt.Errorf("undo what mllbd %d did: %w", h.header.PID, err)
	}
	for _, j := range h.entries {
		n := &entry{record: j.record, prev: j.Prev, seen: e.tick}
		for _, cpu := range j.Trail {
			e.follow(n, cpu)
		}
		if j.Released {
			n.state = past
			e.past = append(e.past, n)
			e.gone[n.TID] = n
		} else {
			e.learn(n)
		}
	}
	err = e.sweep(&report)
	if report.Failed == 0 && err == nil {
		err = e.mech.close()
	}
	e.forgetAll()
	return report, err
}

// forgetAll forgets everything that was learnt.
func (e *Enforcer) forgetAll() {
	clear(e.known)
	clear(e.gone)
	clear(e.trails)
	e.past, e.filter, e.met, e.tick = nil, filter{}, 0, 1
	e.family.reset()
	e.stats.Held = 0
}

// Close gives every thread held its owner's mask back, and every child of one
// that is still narrowed, and removes the journal. If some could not be given
// back the journal stays for Restore, and the report says which.
func (e *Enforcer) Close() (Report, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var report Report
	if e.closed {
		return report, nil
	}
	err := e.sweep(&report)
	e.closed = true
	if report.Failed > 0 || err != nil {
		return report, errors.Join(err, e.flush(), e.file.unlock())
	}
	return report, errors.Join(e.mech.close(), e.file.remove(), e.file.unlock())
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
	e.meet()
	tried := make(map[features.ID]bool)
	for _, n := range e.known {
		if n.state != held {
			continue
		}
		o, err := e.giveBack(n, n.ID, n.TGID, n.ours)
		report.count(o)
		switch o {
		case failed:
			report.note("thread %d: %v", n.TID, err)
			continue
		case notOurs:
			tried[n.ID] = true
		}
		e.retire(n)
	}
	start, err := e.sys.Now()
	if err != nil {
		return err
	}
	parents := make(forks)
	for {
		// Asked before the passes, which then see the children of those that
		// are done; what they adopt is to be asked about in turn.
		more, known := e.forking(parents), len(e.past)
		if err := e.passes(report, tried); err != nil || report.Failed > 0 {
			return err
		}
		now, err := e.sys.Now()
		if err != nil || now-start > patience || !more && len(e.past) == known {
			return err
		}
		time.Sleep(forkWait)
	}
}

// forks is what is known of the parents that may be in the middle of a fork:
// the CPU time they had when first looked at, or done.
type forks map[features.ID]uint64

const done = math.MaxUint64

// forking reports whether a thread that was given back may be in the middle of
// a fork that copied the mask it had before.
func (e *Enforcer) forking(first forks) (any bool) {
	for _, n := range e.past {
		was, seen := first[n.ID]
		if was == done {
			continue
		}
		t, err := e.sys.Task(n.TGID, n.TID)
		switch {
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
func (e *Enforcer) passes(report *Report, tried map[features.ID]bool) error {
	clean := 0
	for range maxPasses {
		found, err := e.pass(report, tried)
		if err != nil {
			return err
		}
		if clean++; found > 0 {
			clean = 0
		}
		if clean == cleanPasses {
			return nil
		}
	}
	report.note("children of held threads were still being born after %d passes: run `mllbd restore` once they are fewer", maxPasses)
	report.Failed++
	return nil
}

// pass looks at every thread of the host once.
func (e *Enforcer) pass(report *Report, tried map[features.ID]bool) (found int, err error) {
	var narrowed []topology.CPUSet
	for cpu, n := range e.trails {
		if n > 0 {
			narrowed = append(narrowed, topology.NewCPUSet(cpu))
		}
	}
	if len(narrowed) == 0 {
		return 0, nil
	}
	err = e.sys.Threads(narrowed, func(tgid, tid int32) bool {
		t, err := e.sys.Task(tgid, tid)
		if err != nil || !e.suspect(&t) || tried[t.ID] {
			return true // it ended, or is none of ours
		}
		c := kin{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: single(t.Mask)}
		n := e.known[c.TID]
		was := e.family.relative(c, n != nil && n.state == waiting)
		if was == nil {
			return true
		}
		o, err := e.adopt(was, c)
		switch o {
		case restored:
			report.Inherited++
			found++
		case failed:
			report.note("thread %d: %v", c.TID, err)
			report.Failed++
			tried[c.ID] = true
		}
		return true
	})
	return found, err
}

// suspect reports whether a thread may have inherited its mask.
func (e *Enforcer) suspect(t *Task) bool {
	cpu := single(t.Mask)
	if cpu < 0 || int(cpu) >= len(e.trails) || e.trails[cpu] == 0 || t.TID <= 1 || t.TGID <= 1 ||
		t.Flags&(flagExiting|features.FlagKthread|features.FlagNoSetAffinity) != 0 {
		return false
	}
	n := e.known[t.TID]
	return n == nil || n.ID != t.ID || n.state == waiting
}
