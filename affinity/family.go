// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"slices"

	"mllb/features"
)

// A child, thread or process, has its parent's narrowed mask from birth. A
// family is every thread that was held lately, by process, and answers whose
// heir a thread with a narrowed mask is. It is told apart from a thread that
// its owner pinned by all of these:
//
//   - its mask is one CPU, on which a relative was held of late;
//   - it was born after that hold began, so no older thread is ever touched;
//   - it was born since the Sync before the last, or that would have found it;
//   - it belongs to the relative's process, or its parents lead there through
//     processes that were themselves born during the hold, or all of those
//     have ended: then init adopted it, it is in the relative's cgroup, and
//     its session is the relative's or younger than the hold.
//
// What cannot be told apart without a fork tracer: a child whose owner pins it,
// within two ticks of its birth, to the very CPU that the relative was held on.
type family struct {
	sys       Sys
	horizon   uint64 // threads born before, in clock ticks of the boot time, were looked at already
	processes map[int32][]*entry
}

// kin is a thread with a mask of one CPU.
type kin struct {
	features.ID
	TGID, PPID, Session, CPU int32
}

// maxAncestors bounds the walk towards init.
const maxAncestors = 64

func (f *family) reset() {
	if f.processes == nil {
		f.processes = make(map[int32][]*entry)
	}
	clear(f.processes)
}

func (f *family) add(e *entry) { f.processes[e.TGID] = append(f.processes[e.TGID], e) }

// relative returns the thread whose narrowed mask c has, or nil. With again
// set, c was found before and could not be seen to then.
func (f *family) relative(c kin, again bool) *entry {
	if e := f.executed(c); e != nil || c.Start < f.horizon && !again {
		return e
	}
	e := f.sibling(c)
	if e = later(e, f.ancestor(c)); e == nil {
		e = f.adopted(c)
	}
	return e
}

// sibling looks in c's own process, of which c is not the first thread.
func (f *family) sibling(c kin) *entry {
	if c.TID == c.TGID || f.processes[c.TGID] == nil {
		return nil
	}
	leader, err := f.sys.Task(c.TGID, c.TGID)
	if err != nil {
		return nil
	}
	return f.in(&leader, c, c.Start)
}

// in looks in one process, by its leader, for a hold on c's CPU that began no
// later than eldest was born. A process that is younger than a hold only has
// the id of the one that was held.
func (f *family) in(leader *Task, c kin, eldest uint64) *entry {
	var best *entry
	for _, e := range f.processes[leader.TGID] {
		if leader.Start <= e.Since && e.Since <= eldest && slices.Contains(e.trail, c.CPU) {
			best = later(best, e)
		}
	}
	return best
}

// later returns the entry whose hold began later: where several relatives will
// do, it knows the newer mask of the owner. Either may be nil.
func later(a, b *entry) *entry {
	if a == nil || b != nil && b.Since > a.Since {
		return b
	}
	return a
}

// ancestor walks up from c. Parents are older than their children, so the last
// one before the relative says whether all were born during its hold.
func (f *family) ancestor(c kin) *entry {
	eldest, pid := c.Start, c.PPID
	for range maxAncestors {
		if pid <= 1 {
			return nil
		}
		p, err := f.sys.Task(pid, pid)
		if err != nil {
			return nil
		}
		if e := f.in(&p, c, eldest); e != nil {
			return e
		}
		eldest, pid = p.Start, p.PPID
	}
	return nil
}

// executed finds the thread that c was before it called execve(2): any thread
// of a process may, and it then has the leader's id and start time but its own
// mask, and all others have ended (fs/exec.c, de_thread, 6.12). A leader that
// had this very mask before is its owner's.
func (f *family) executed(c kin) *entry {
	if c.TID != c.TGID {
		return nil
	}
	for _, e := range f.processes[c.TGID] {
		if e.TID == c.TGID || e.Lead || !slices.Contains(e.trail, c.CPU) {
			continue
		}
		t, err := f.sys.Task(c.TGID, c.TGID)
		_, other := f.sys.Task(e.TGID, e.TID)
		if err == nil && t.Threads == 1 && errors.Is(other, ErrGone) {
			return e
		}
	}
	return nil
}

// adopted looks for a relative of an orphan, whose parents have all ended.
// Init, the host's or a container's, adopts by default. That another process
// is a subreaper (prctl(2)) cannot be seen, so there a session without a
// leader, as a daemon's double fork leaves it, must vouch for it.
func (f *family) adopted(c kin) *entry {
	init := c.PPID == 1
	if !init {
		p, err := f.sys.Task(c.PPID, c.PPID)
		if err != nil {
			return nil
		}
		init = p.NSInit
	}
	leader, err := f.sys.Task(c.Session, c.Session)
	leaderless := c.Session > 1 && err != nil
	if !init && !leaderless {
		return nil
	}
	for _, process := range f.processes {
		for _, e := range process {
			young := leaderless || err == nil && leader.Start >= e.Since
			if e.Since <= c.Start && slices.Contains(e.trail, c.CPU) && (young || c.Session == e.Session) && f.sameCgroup(c, e) {
				return e
			}
		}
	}
	return nil
}

func (f *family) sameCgroup(c kin, e *entry) bool {
	if e.Cgroup == 0 {
		return true // unknown to the snapshot's reader: session and birth must do
	}
	in, err := f.sys.InCgroup(c.TGID, c.TID, e.Cgroup)
	return err == nil && in
}
