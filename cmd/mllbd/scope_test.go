// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"mllb/features"
	"mllb/topology"
)

// treeOf is a cgroup tree of the given inodes.
type treeOf []uint64

func (t treeOf) Has(inode uint64) bool {
	for _, i := range t {
		if i == inode {
			return true
		}
	}
	return false
}

// fill makes a snapshot of a 4-CPU host, CPU 3 offline, with the given threads,
// all Managed; mask picks the owner's mask: 0 for the whole host.
func fill(threads ...features.Thread) *features.Snapshot {
	s := &features.Snapshot{Runqueues: make([]features.Runqueue, 4)}
	for cpu := range 3 {
		s.Runqueues[cpu].Online = true
	}
	s.Mask(topology.NewCPUSet(0, 1, 2, 3)) // 0
	s.Mask(topology.NewCPUSet(0, 1, 2))    // 1: as good as whole, CPU 3 is offline
	s.Mask(topology.NewCPUSet(0, 1))       // 2
	s.Mask(topology.NewCPUSet(0, 1, 3))    // 3: as narrow
	for _, t := range threads {
		t.Managed = true
		s.Threads = append(s.Threads, t)
	}
	return s
}

func TestScope(t *testing.T) {
	const self = 500
	ordinary := features.Thread{ID: features.ID{TID: 900}, TGID: 900, PPID: 1, State: 'S', Cgroup: 7, Comm: commName("worker")}
	with := func(change func(*features.Thread)) features.Thread {
		th := ordinary
		change(&th)
		return th
	}
	system := scope{self: self}
	for _, tt := range []struct {
		name   string
		scope  scope
		thread features.Thread
		want   bool
	}{
		{"an ordinary thread", system, ordinary, true},
		{"SCHED_BATCH", system, with(func(t *features.Thread) { t.Policy = features.SchedBatch }), true},
		{"SCHED_FIFO", system, with(func(t *features.Thread) { t.Policy = features.SchedFIFO }), false},
		{"SCHED_IDLE", system, with(func(t *features.Thread) { t.Policy = features.SchedIdle }), false},
		{"SCHED_DEADLINE", system, with(func(t *features.Thread) { t.Policy = features.SchedDeadline }), false},
		{"SCHED_EXT", system, with(func(t *features.Thread) { t.Policy = features.SchedExt }), false},
		{"pid 1", system, with(func(t *features.Thread) { t.TID, t.TGID = 1, 1 }), false},
		{"a thread of pid 1", system, with(func(t *features.Thread) { t.TGID = 1 }), false},
		{"a kernel thread", system, with(func(t *features.Thread) { t.Flags = features.FlagKthread }), false},
		{"an io_uring worker", system, with(func(t *features.Thread) { t.Flags = features.FlagIOWorker }), false},
		{"a vhost worker", system, with(func(t *features.Thread) { t.Flags = features.FlagUserWorker }), false},
		{"PF_NO_SETAFFINITY", system, with(func(t *features.Thread) { t.Flags = features.FlagNoSetAffinity }), false},
		{"mllbd itself", system, with(func(t *features.Thread) { t.TID, t.TGID = self, self }), false},
		{"a thread of mllbd", system, with(func(t *features.Thread) { t.TID, t.TGID = self+1, self }), false},
		{"a zombie", system, with(func(t *features.Thread) { t.State = 'Z' }), false},
		{"a mask that covers what is online", system, with(func(t *features.Thread) { t.Owner = 1 }), true},
		{"a narrowed mask", system, with(func(t *features.Thread) { t.Owner = 2 }), false},
		{"a mask narrowed by an online CPU", system, with(func(t *features.Thread) { t.Owner = 3 }), false},
		{"held by mllbd: narrow, but not by its owner", system, with(func(t *features.Thread) { t.Allowed, t.Hold = 2, 1 }), true},
		{"narrowed to the baseline", scope{baseline: topology.NewCPUSet(0, 1)}, with(func(t *features.Thread) { t.Owner = 2 }), true},
		{"excluded by name", scope{names: map[[16]byte]struct{}{commName("worker"): {}}}, ordinary, false},
		{"another name excluded", scope{names: map[[16]byte]struct{}{commName("work"): {}}}, ordinary, true},
		{"in the cgroup", scope{tree: treeOf{6, 7}}, ordinary, true},
		{"outside of the cgroup", scope{tree: treeOf{6, 8}}, ordinary, false},
		{"in an excluded cgroup", scope{tree: treeOf{6, 7}, excluded: treeOf{7}}, ordinary, false},
		{"an orphan of CMD", scope{self: 1, lineage: true}, ordinary, true},
		{"no descendant of mllbd", scope{self: self, lineage: true}, ordinary, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fill(tt.thread)
			tt.scope.Mark(s)
			if got := s.Threads[0].Managed; got != tt.want {
				t.Errorf("managed: %v, want %v", got, tt.want)
			}
			s.Threads[0].Managed = false
			if tt.scope.Mark(s); s.Threads[0].Managed {
				t.Error("Mark made a thread managed that was not")
			}
		})
	}
}

func TestScopeLineage(t *testing.T) {
	thread := func(tid, tgid, ppid int32) features.Thread {
		return features.Thread{ID: features.ID{TID: tid}, TGID: tgid, PPID: ppid}
	}
	// Process ids wrapped around: children have lower ids than their parents.
	s := fill(
		thread(10, 10, 30), thread(11, 10, 30), // grandchild, two threads
		thread(30, 30, 100),   // CMD
		thread(40, 40, 1),     // somebody else
		thread(100, 100, 40),  // mllbd
		thread(200, 200, 10),  // great-grandchild
		thread(300, 300, 40),  // sibling of mllbd
		thread(400, 400, 100), // orphan of CMD, adopted by mllbd
		thread(5, 5, 0),       // no parent
	)
	sc := scope{self: 100, lineage: true}
	sc.Mark(s)
	want := map[int32]bool{10: true, 11: true, 30: true, 200: true, 400: true}
	for _, th := range s.Threads {
		if th.Managed != want[th.TID] {
			t.Errorf("thread %d managed: %v, want %v", th.TID, th.Managed, want[th.TID])
		}
	}
}

func TestScopeRefresh(t *testing.T) {
	var refreshed int
	sc := scope{refresh: func(*scope) { refreshed++ }}
	s := fill()
	for _, at := range []time.Duration{1, 100 * time.Millisecond, 999 * time.Millisecond, 1001 * time.Millisecond, 1002 * time.Millisecond, 3 * time.Second} {
		s.Time = int64(at)
		sc.Mark(s)
	}
	if refreshed != 3 {
		t.Errorf("refreshed %d times, want 3: at once, then once a second", refreshed)
	}
}

func manyThreads(n int32) *features.Snapshot {
	threads := make([]features.Thread, n)
	for i := range threads {
		threads[i] = features.Thread{ID: features.ID{TID: int32(i) + 100}, TGID: int32(i) + 100, PPID: int32(i)/2 + 99, State: 'S'}
	}
	return fill(threads...)
}

func TestScopeAllocatesNothing(t *testing.T) {
	s := manyThreads(500)
	sc := scope{self: 100, lineage: true, tree: treeOf{0}, names: map[[16]byte]struct{}{commName("x"): {}}}
	sc.Mark(s)
	if n := testing.AllocsPerRun(10, func() { sc.Mark(s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkScope(b *testing.B) {
	s := manyThreads(2000)
	sc := scope{self: 100, lineage: true}
	for b.Loop() {
		for i := range s.Threads {
			s.Threads[i].Managed = true
		}
		sc.Mark(s)
	}
}
