// SPDX-License-Identifier: Apache-2.0

package main

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

// inodes tells whether a cgroup, named by the inode of its directory, is in a
// tree. Package cgroup has the real one.
type inodes interface{ Has(inode uint64) bool }

// scope says which threads are ours to move. It only ever narrows: a thread
// that arrives not Managed stays so.
type scope struct {
	self     int32                 // mllbd's own process
	baseline topology.CPUSet       // what an unnarrowed mask covers; nil: every online CPU
	refresh  func(*scope)          // reads baseline, tree and excluded afresh each second; nil: they stay
	tree     inodes                // only threads in these cgroups, nil: anywhere
	lineage  bool                  // only descendants of mllbd: CMD and what it left behind
	names    map[[16]byte]struct{} // command names left out
	excluded inodes                // cgroups left out, or nil

	online topology.CPUSet // reused: the CPUs a mask must cover to be whole
	wide   []bool          // by mask index: it covers online
	born   []uint64        // bitmap of process ids that descend from mllbd
	fresh  int64           // when refresh last ran, on the snapshots' clock
}

// Mark clears Managed of every thread that is out of scope. It takes time in
// proportion to the threads and, once warm, allocates nothing.
func (sc *scope) Mark(s *features.Snapshot) {
	if sc.refresh != nil && (sc.fresh == 0 || s.Time-sc.fresh >= int64(time.Second)) {
		sc.refresh(sc)
		sc.fresh = s.Time
	}
	sc.widths(s)
	if sc.lineage {
		sc.descend(s.Threads)
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Managed && !sc.has(t) {
			t.Managed = false
		}
	}
}

// has reports whether one thread is in scope. Cheap tests come first.
func (sc *scope) has(t *features.Thread) bool {
	if t.Policy != features.SchedOther && t.Policy != features.SchedBatch {
		return false
	}
	if t.Flags&neverFlags != 0 || t.TGID == 1 || t.TGID == sc.self || !sc.wide[t.Owner] {
		return false
	}
	if t.State == 'Z' || t.State == 'X' {
		return false
	}
	if sc.lineage && !sc.isBorn(t.TGID) {
		return false
	}
	if sc.tree != nil && !sc.tree.Has(t.Cgroup) {
		return false
	}
	if sc.excluded != nil && sc.excluded.Has(t.Cgroup) {
		return false
	}
	if len(sc.names) > 0 {
		if _, out := sc.names[t.Comm]; out {
			return false
		}
	}
	return true
}

// widths finds out, once for each distinct mask, which masks nobody narrowed:
// those that cover every CPU of the baseline that is online.
func (sc *scope) widths(s *features.Snapshot) {
	words := (len(s.Runqueues) + 63) / 64
	for len(sc.online) < words {
		sc.online = append(sc.online, 0)
	}
	clear(sc.online)
	for cpu := range s.Runqueues {
		if s.Runqueues[cpu].Online && (sc.baseline == nil || sc.baseline.Has(cpu)) {
			sc.online[cpu>>6] |= 1 << (cpu & 63)
		}
	}
	sc.wide = sc.wide[:0]
	for _, m := range s.Masks {
		sc.wide = append(sc.wide, sc.online.SubsetOf(m))
	}
}

// descend marks every process that descends from mllbd. Parents nearly always
// have lower ids and come first, so one pass finds all and a second finds no
// more; where ids wrapped around it takes as many passes as it needs.
func (sc *scope) descend(threads []features.Thread) {
	clear(sc.born)
	sc.setBorn(sc.self)
	for grew := true; grew; {
		grew = false
		for i := range threads {
			t := &threads[i]
			if sc.isBorn(t.PPID) && !sc.isBorn(t.TGID) {
				sc.setBorn(t.TGID)
				grew = true
			}
		}
	}
}

func (sc *scope) isBorn(pid int32) bool {
	i := int(pid >> 6)
	return pid > 0 && i < len(sc.born) && sc.born[i]&(1<<(pid&63)) != 0
}

func (sc *scope) setBorn(pid int32) {
	for int(pid>>6) >= len(sc.born) {
		sc.born = append(sc.born, 0)
	}
	sc.born[pid>>6] |= 1 << (pid & 63)
}

// commName turns a command name into what the kernel keeps of it: 15 bytes
// (TASK_COMM_LEN, include/linux/sched.h).
func commName(name string) (comm [16]byte) {
	copy(comm[:15], name)
	return comm
}
