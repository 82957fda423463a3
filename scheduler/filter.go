// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"time"

	"mllb/features"
	"mllb/topology"
)

// neverFlags mark threads that are not anybody's to move: kernel threads, and
// the workers that io_uring and vhost run in a process but that the kernel
// places itself (include/linux/sched.h; sched_setaffinity(2) answers EINVAL to
// PF_NO_SETAFFINITY).
const neverFlags = features.FlagKthread | features.FlagIOWorker |
	features.FlagUserWorker | features.FlagNoSetAffinity

// Cgroups tells whether a cgroup, named by the inode of its directory, is one of
// a set.
type Cgroups interface{ Has(inode uint64) bool }

// Filter is the Scope of a real host: user threads of the fair policies whose
// mask nobody narrowed, and of those only what its fields leave in. It only ever
// narrows: a thread that arrives not Managed stays so.
type Filter struct {
	Self     int32           // the daemon's own process
	Baseline topology.CPUSet // what an unnarrowed mask covers; nil: what init has
	LeftOut  topology.CPUSet // CPUs that nobody balances, nor the threads that are there
	Refresh  func()          // reads Tree and Excluded afresh each second, and when a cgroup is new; nil: they stay
	Tree     Cgroups         // only threads in these cgroups, nil: anywhere
	Lineage  bool            // only descendants of the daemon: CMD and what it left behind
	Programs *Programs       // programs left out, or nil
	Ext      bool            // threads of SCHED_EXT are fit, too: the scheduler is mllb's
	Excluded Cgroups         // cgroups left out, or nil

	// Cpuset returns the CPUs that a thread's cpuset allows, nil if it cannot tell;
	// none: nobody balances them. ByCgroup: all threads of a Cgroup are in one cpuset.
	Cpuset   func(*features.Thread) topology.CPUSet
	ByCgroup bool

	width   width
	born    []uint64            // bitmap of process ids that descend from the daemon
	fresh   int64               // when Refresh last ran, on the snapshots' clock
	cgroups map[uint64]struct{} // that threads were in since then
}

// Mark clears Managed of every thread that is out of scope. It takes time in
// proportion to the threads and, once warm, allocates nothing.
func (f *Filter) Mark(s *features.Snapshot) {
	if f.Refresh != nil && f.stale(s) {
		f.Refresh()
	}
	if f.Programs != nil {
		f.Programs.look(s)
	}
	f.measure(s)
	if f.Lineage {
		f.descend(s)
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Managed && !f.has(s, t) {
			t.Managed = false
		}
	}
}

// has reports whether one thread is in scope. Cheap tests come first.
func (f *Filter) has(s *features.Snapshot, t *features.Thread) bool {
	return f.unfit(t) == "" && f.in(t) && !f.excluded(t) && f.whole(s, t)
}

// unfit says why a thread is not anybody's to move, wherever it is; "" if it may be.
func (f *Filter) unfit(t *features.Thread) string {
	switch {
	case t.Policy != features.SchedOther && t.Policy != features.SchedBatch && !(f.Ext && t.Policy == features.SchedExt):
		return "of another scheduling policy"
	case t.Flags&neverFlags != 0 || t.TGID == 1 || t.TGID == f.Self:
		return "of the system"
	case f.LeftOut.Has(int(t.CPU)):
		return "on CPUs that nobody balances"
	case t.State == 'Z' || t.State == 'X':
		return "ended"
	}
	return ""
}

// in reports whether a thread is where flags say that threads are managed.
func (f *Filter) in(t *features.Thread) bool {
	return (!f.Lineage || f.isBorn(t.TGID)) && (f.Tree == nil || f.Tree.Has(t.Cgroup))
}

func (f *Filter) excluded(t *features.Thread) bool {
	return f.Excluded != nil && f.Excluded.Has(t.Cgroup) || f.Programs != nil && f.Programs.has(t)
}

// Unmanaged counts the threads that flags would have managed, by what kept them
// out of a snapshot that was marked.
func (f *Filter) Unmanaged(s *features.Snapshot) map[string]int {
	by := make(map[string]int)
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Managed || !f.in(t) {
			continue
		}
		why := f.unfit(t)
		switch {
		case f.excluded(t):
			why = "excluded"
		case why == "" && !f.whole(s, t):
			why = "pinned by their owner"
		case why == "": // the enforcer cleared Managed
			why = "taken over by their owner"
		}
		by[why]++
	}
	return by
}

// stale reports whether Refresh is due. A cgroup that no thread was in before
// may be an excluded service's that has just been started again: it is looked
// up before anything in it is managed.
func (f *Filter) stale(s *features.Snapshot) bool {
	due := f.fresh == 0 || s.Time-f.fresh >= int64(time.Second)
	if due {
		f.fresh = s.Time
		clear(f.cgroups)
	}
	if f.cgroups == nil {
		f.cgroups = make(map[uint64]struct{})
	}
	last := uint64(0)
	for i := range s.Threads {
		c := s.Threads[i].Cgroup
		if c == last { // neighbours mostly share one
			continue
		}
		last = c
		if _, ok := f.cgroups[c]; !ok {
			f.cgroups[c] = struct{}{}
			due = true
		}
	}
	return due
}

// descend marks every process that descends from the daemon. Parents nearly always
// have lower ids and come first, so one pass finds all and a second finds no
// more; where ids wrapped around it takes as many passes as it needs. A partial
// snapshot lacks parents that sleep; there the reader has looked.
func (f *Filter) descend(s *features.Snapshot) {
	clear(f.born)
	f.setBorn(f.Self)
	threads := s.Threads
	if s.Partial {
		for i := range threads {
			if threads[i].Descends {
				f.setBorn(threads[i].TGID)
			}
		}
		return
	}
	for grew := true; grew; {
		grew = false
		for i := range threads {
			t := &threads[i]
			if f.isBorn(t.PPID) && !f.isBorn(t.TGID) {
				f.setBorn(t.TGID)
				grew = true
			}
		}
	}
}

func (f *Filter) isBorn(pid int32) bool {
	i := int(pid >> 6)
	return pid > 0 && i < len(f.born) && f.born[i]&(1<<(pid&63)) != 0
}

func (f *Filter) setBorn(pid int32) {
	for int(pid>>6) >= len(f.born) {
		f.born = append(f.born, 0)
	}
	f.born[pid>>6] |= 1 << (pid & 63)
}
