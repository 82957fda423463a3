// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"slices"

	"mllb/features"
)

// lineage is every thread that is held or was of late, and finds the one whose
// narrowed mask another thread has. A child, thread or process, has its parent's
// mask from birth. It is told apart from a thread that its owner pinned by all
// of these:
//
//   - its mask is one CPU, on which its ancestor was held of late;
//   - it was born after that hold began, so no older thread is ever touched;
//   - it was born since the Sync before the last, or that would have found it;
//   - it belongs to the ancestor's process, or its parents lead there through
//     processes that were themselves born during the hold, or all of those
//     have ended: then init adopted it, it is in the ancestor's cgroup, and
//     its session is the ancestor's or younger than the hold.
//
// What cannot be told apart without a fork tracer: a child whose owner pins it,
// within two ticks of its birth, to the very CPU that the ancestor was held on.
type lineage struct {
	sys    *lookups
	past   []*entry         // in the order in which they are to be forgotten
	latest map[int32]*entry // by tid: the latest of past
	trails []int32          // how many trails each CPU is in

	horizon uint64    // threads born before, in clock ticks of the boot time, were looked at already
	looked  [2]uint64 // the boot time at the Sync before the last, and at the last

	processes map[int32][]*entry // by tgid: held and past
	gathered  uint32             // tick for which that was done
}

// keepTicks is for how many ticks a thread that is no longer held is kept. Two
// suffice where every snapshot sees every thread; reading /proc can miss some.
const keepTicks = 8

// maxAncestors bounds the walk towards init.
const maxAncestors = 64

// suspect is a thread with a mask of one CPU.
type suspect struct {
	features.ID
	TGID, PPID, Session, CPU int32
}

func newLineage(sys Sys) lineage {
	return lineage{sys: &lookups{Sys: sys}, latest: make(map[int32]*entry), processes: make(map[int32][]*entry)}
}

// add keeps a thread that is past.
func (l *lineage) add(n *entry) {
	l.past = append(l.past, n)
	l.latest[n.TID] = n
}

// remove forgets the CPUs of a thread, and that it is the latest with its id.
// Sync cuts off the head of past.
func (l *lineage) remove(n *entry) {
	l.trim(n, 0)
	if l.latest[n.TID] == n {
		delete(l.latest, n.TID)
	}
}

// extend notes that children of a thread may inherit the mask of this CPU.
func (l *lineage) extend(n *entry, cpu int32, tick uint32) {
	for int(cpu) >= len(l.trails) {
		l.trails = append(l.trails, 0)
	}
	l.trails[cpu]++
	n.trail = append(n.trail, cpu)
	n.moved = tick
	l.trim(n, maxTrail)
}

// trim removes the oldest CPUs of a trail but for the latest keep.
func (l *lineage) trim(n *entry, keep int) {
	drop := max(0, len(n.trail)-keep)
	for _, cpu := range n.trail[:drop] {
		l.trails[cpu]--
	}
	n.trail = n.trail[drop:]
}

// advance moves the horizon to the time of the Sync before this one; reading
// the clock after the snapshot was taken would be too late.
func (l *lineage) advance() error {
	now, err := l.sys.Now()
	if err != nil {
		l.horizon = 0
		return err
	}
	l.horizon, l.looked = l.looked[0], [2]uint64{l.looked[1], now}
	return nil
}

// gather groups the threads by process, once a tick.
func (l *lineage) gather(tick uint32, known map[int32]*entry) {
	if l.gathered == tick {
		return
	}
	l.gathered = tick
	clear(l.processes)
	for _, n := range known {
		if n.state.holds() {
			l.group(n)
		}
	}
	for _, n := range l.past {
		l.group(n)
	}
}

func (l *lineage) group(n *entry) { l.processes[n.TGID] = append(l.processes[n.TGID], n) }

// find returns the thread whose narrowed mask c has, or nil. With again set, c
// was found before and could not be seen to then.
func (l *lineage) find(c suspect, again bool) *entry {
	if n := l.executed(c); n != nil || c.Start < l.horizon && !again {
		return n
	}
	n := l.sibling(c)
	if n = later(n, l.ancestor(c)); n == nil {
		n = l.orphan(c)
	}
	return n
}

// sibling looks in c's own process, of which c is not the first thread.
func (l *lineage) sibling(c suspect) *entry {
	if c.TID == c.TGID || l.processes[c.TGID] == nil {
		return nil
	}
	leader, err := l.sys.Task(c.TGID, c.TGID)
	if err != nil {
		return nil
	}
	return l.in(&leader, c, c.Start)
}

// in looks in one process, by its leader, for a hold on c's CPU that began no
// later than eldest was born; c itself is none of its parents. A process that is younger than a hold only has
// the id of the one that was held.
func (l *lineage) in(leader *Task, c suspect, eldest uint64) *entry {
	var best *entry
	for _, e := range l.processes[leader.TGID] {
		if e.ID != c.ID && leader.Start <= e.Since && e.Since <= eldest && slices.Contains(e.trail, c.CPU) {
			best = later(best, e)
		}
	}
	return best
}

// later returns the entry whose hold began later: where several will do, it
// knows the newer mask of the owner. Either may be nil.
func later(a, b *entry) *entry {
	if a == nil || b != nil && b.Since > a.Since {
		return b
	}
	return a
}

// ancestor walks up from c. Parents are older than their children, so the last
// one before the ancestor says whether all were born during its hold.
func (l *lineage) ancestor(c suspect) *entry {
	eldest, pid := c.Start, c.PPID
	for range maxAncestors {
		if pid <= 1 {
			return nil
		}
		p, err := l.sys.Task(pid, pid)
		if err != nil {
			return nil
		}
		if e := l.in(&p, c, eldest); e != nil {
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
func (l *lineage) executed(c suspect) *entry {
	if c.TID != c.TGID {
		return nil
	}
	for _, e := range l.processes[c.TGID] {
		if e.TID == c.TGID || e.Lead || !slices.Contains(e.trail, c.CPU) {
			continue
		}
		t, err := l.sys.Task(c.TGID, c.TGID)
		_, other := l.sys.Task(e.TGID, e.TID)
		if err == nil && t.Threads == 1 && errors.Is(other, ErrGone) {
			return e
		}
	}
	return nil
}

// orphan looks for an ancestor of a thread whose parents have all ended.
// Init, the host's or a container's, adopts by default. That another process
// is a subreaper (prctl(2)) cannot be seen, so there a session without a
// leader, as a daemon's double fork leaves it, must vouch for it.
func (l *lineage) orphan(c suspect) *entry {
	init := c.PPID == 1
	if !init {
		p, err := l.sys.Task(c.PPID, c.PPID)
		if err != nil {
			return nil
		}
		init = p.NSInit
	}
	leader, err := l.sys.Task(c.Session, c.Session)
	leaderless := c.Session > 1 && err != nil
	if !init && !leaderless {
		return nil
	}
	for _, process := range l.processes {
		for _, e := range process {
			young := leaderless || err == nil && leader.Start >= e.Since
			if e.Since <= c.Start && slices.Contains(e.trail, c.CPU) && (young || c.Session == e.Session) && l.sameCgroup(c, e) {
				return e
			}
		}
	}
	return nil
}

func (l *lineage) sameCgroup(c suspect, e *entry) bool {
	if e.Cgroup == 0 {
		return true // unknown to the snapshot's reader: session and birth must do
	}
	in, err := l.sys.InCgroup(c.TGID, c.TID, e.Cgroup)
	return err == nil && in
}
