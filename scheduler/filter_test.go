// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"maps"
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

func TestFilter(t *testing.T) {
	const self = 500
	ordinary := features.Thread{ID: features.ID{TID: 900}, TGID: 900, PPID: 1, State: 'S', Cgroup: 7, Comm: features.Comm("worker")}
	with := func(change func(*features.Thread)) features.Thread {
		th := ordinary
		change(&th)
		return th
	}
	system := Filter{Self: self}
	for _, tt := range []struct {
		name   string
		scope  Filter
		thread features.Thread
		want   bool
	}{
		{"an ordinary thread", system, ordinary, true},
		{"SCHED_BATCH", system, with(func(t *features.Thread) { t.Policy = features.SchedBatch }), true},
		{"SCHED_FIFO", system, with(func(t *features.Thread) { t.Policy = features.SchedFIFO }), false},
		{"SCHED_IDLE", system, with(func(t *features.Thread) { t.Policy = features.SchedIdle }), false},
		{"SCHED_DEADLINE", system, with(func(t *features.Thread) { t.Policy = features.SchedDeadline }), false},
		{"SCHED_EXT", system, with(func(t *features.Thread) { t.Policy = features.SchedExt }), false},
		{"SCHED_EXT under mllb's scheduler", Filter{Self: self, Ext: true}, with(func(t *features.Thread) { t.Policy = features.SchedExt }), true},
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
		{"narrowed to the baseline", Filter{Baseline: topology.NewCPUSet(0, 1)}, with(func(t *features.Thread) { t.Owner = 2 }), true},
		{"excluded by name", Filter{Programs: NewPrograms([]string{"worker"}, noExe)}, ordinary, false},
		{"another name excluded", Filter{Programs: NewPrograms([]string{"work"}, noExe)}, ordinary, true},
		{"in the cgroup", Filter{Tree: treeOf{6, 7}}, ordinary, true},
		{"outside of the cgroup", Filter{Tree: treeOf{6, 8}}, ordinary, false},
		{"in an excluded cgroup", Filter{Tree: treeOf{6, 7}, Excluded: treeOf{7}}, ordinary, false},
		{"an orphan of CMD", Filter{Self: 1, Lineage: true}, ordinary, true},
		{"no descendant of mllbd", Filter{Self: self, Lineage: true}, ordinary, false},
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

func TestUnmanaged(t *testing.T) {
	thread := func(tid int32, cgroup uint64, change func(*features.Thread)) features.Thread {
		th := features.Thread{ID: features.ID{TID: tid}, TGID: tid, PPID: 1, State: 'S', Cgroup: cgroup}
		change(&th)
		return th
	}
	same := func(*features.Thread) {}
	f := Filter{Self: 500, Tree: treeOf{7, 8}, Excluded: treeOf{8}}
	s := fill(thread(900, 7, same), thread(901, 8, same), thread(902, 9, same),
		thread(903, 7, func(t *features.Thread) { t.Owner = 2 }), thread(904, 7, func(t *features.Thread) { t.Owner = 2 }),
		thread(905, 7, func(t *features.Thread) { t.Policy = features.SchedFIFO }), thread(906, 7, same))
	s.Threads[6].Managed = false // as the enforcer leaves it
	f.Mark(s)
	want := map[string]int{"excluded": 1, "pinned by their owner": 2, "of another scheduling policy": 1, "taken over by their owner": 1}
	if got := f.Unmanaged(s); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFilterLineage(t *testing.T) {
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
	f := Filter{Self: 100, Lineage: true}
	f.Mark(s)
	want := map[int32]bool{10: true, 11: true, 30: true, 200: true, 400: true}
	for _, th := range s.Threads {
		if th.Managed != want[th.TID] {
			t.Errorf("thread %d managed: %v, want %v", th.TID, th.Managed, want[th.TID])
		}
	}
}

func TestFilterRefresh(t *testing.T) {
	var refreshed int
	f := Filter{Refresh: func() { refreshed++ }}
	s := fill()
	for _, at := range []time.Duration{1, 100 * time.Millisecond, 999 * time.Millisecond, 1001 * time.Millisecond, 1002 * time.Millisecond, 3 * time.Second} {
		s.Time = int64(at)
		f.Mark(s)
	}
	if refreshed != 3 {
		t.Errorf("refreshed %d times, want 3: at once, then once a second", refreshed)
	}
}

// A cgroup that is new is looked up at once, before its threads are managed.
func TestFilterNewCgroup(t *testing.T) {
	refreshed := 0
	f := Filter{Excluded: treeOf{7}}
	f.Refresh = func() {
		if refreshed++; refreshed > 1 {
			f.Excluded = treeOf{8} // made anew
		}
	}
	in := func(cgroup uint64, tid int32) features.Thread {
		return features.Thread{ID: features.ID{TID: tid}, TGID: tid, Cgroup: cgroup}
	}
	for i, tt := range []struct {
		cgroups   []uint64
		managed   []bool
		refreshed int
	}{
		{[]uint64{7, 3, 7}, []bool{false, true, false}, 1},
		{[]uint64{7, 3, 7}, []bool{false, true, false}, 1},
		{[]uint64{8, 3, 8}, []bool{false, true, false}, 2},
		{[]uint64{8, 3, 3}, []bool{false, true, true}, 2},
	} {
		s := fill()
		s.Time = int64(i+1) * int64(10*time.Millisecond)
		for k, c := range tt.cgroups {
			th := in(c, int32(100+k))
			th.Managed = true
			s.Threads = append(s.Threads, th)
		}
		f.Mark(s)
		for k := range s.Threads {
			if s.Threads[k].Managed != tt.managed[k] {
				t.Errorf("tick %d: thread %d in cgroup %d managed: %v", i, k, tt.cgroups[k], s.Threads[k].Managed)
			}
		}
		if refreshed != tt.refreshed {
			t.Errorf("tick %d: refreshed %d times, want %d", i, refreshed, tt.refreshed)
		}
	}
}

func manyThreads(n int32) *features.Snapshot {
	threads := make([]features.Thread, n)
	for i := range threads {
		threads[i] = features.Thread{ID: features.ID{TID: int32(i) + 100}, TGID: int32(i) + 100, PPID: int32(i)/2 + 99, State: 'S'}
	}
	return fill(threads...)
}

func TestFilterAllocatesNothing(t *testing.T) {
	s := manyThreads(500)
	f := Filter{Self: 100, Lineage: true, Tree: treeOf{0}, Programs: NewPrograms([]string{"x"}, noExe), Refresh: func() {}}
	f.Mark(s)
	if n := testing.AllocsPerRun(10, func() { f.Mark(s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkFilter(b *testing.B) {
	s := manyThreads(2000)
	f := Filter{Self: 100, Lineage: true}
	for b.Loop() {
		for i := range s.Threads {
			s.Threads[i].Managed = true
		}
		f.Mark(s)
	}
}
