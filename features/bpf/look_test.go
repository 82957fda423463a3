// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/internal/threads"
	"mllb/topology"
)

// TestLook reads threads one by one: they are as a snapshot of all has them, and
// one that does not exist is none.
func TestLook(t *testing.T) {
	r := openReader(t, Options{})
	group := threads.Sleep(t, 3)
	var all, one features.Snapshot
	for _, tid := range group.TIDs {
		if err := r.Look(int32(tid), &one); err != nil {
			t.Fatal(err)
		}
		if len(one.Threads) != 1 {
			t.Fatalf("%d threads with the id %d", len(one.Threads), tid)
		}
		want, got := snapshot(t, r, &all)[tid], &one.Threads[0]
		if got.ID != want.ID || got.TGID != want.TGID || !one.Masks[got.Allowed].Equal(all.Masks[want.Allowed]) {
			t.Errorf("looked at: %+v, in a snapshot: %+v", got, want)
		}
	}
	if err := r.Look(math.MaxInt32, &one); err != nil || len(one.Threads) != 0 {
		t.Errorf("a thread that does not exist: %+v, %v", one.Threads, err)
	}
}

// TestAsked: what a thread asked for is read bit for bit, by all and by one, and
// its child has it too; where the kernel does not keep it, CheckAsked says so.
func TestAsked(t *testing.T) {
	r := openReader(t, Options{})
	if err := r.CheckAsked(); err != nil {
		t.Skip(err)
	}
	spare := topology.Spare(r.decoder.cpus)
	group := threads.Sleep(t, 2)
	cpu := lastCPU(t)
	asked := topology.NewCPUSet(cpu, spare.First())
	pinned, free := group.TIDs[0], group.TIDs[1]
	setMask(t, pinned, asked)
	setMask(t, free, topology.NewCPUSet(cpu))
	var all, one features.Snapshot
	byTID := snapshot(t, r, &all)
	for _, tt := range []struct {
		tid  int
		want topology.CPUSet
	}{{pinned, asked}, {free, topology.NewCPUSet(cpu)}} {
		if err := r.Look(int32(tt.tid), &one); err != nil || len(one.Threads) != 1 {
			t.Fatalf("look: %v, %d threads", err, len(one.Threads))
		}
		for s, th := range map[*features.Snapshot]*features.Thread{&all: byTID[tt.tid], &one: &one.Threads[0]} {
			if !s.Asked || th.Asked < 0 || !s.Masks[th.Asked].Equal(tt.want) {
				t.Errorf("thread %d asked for {%s}: %+v, masks %v", tt.tid, tt.want, th, s.Masks)
			}
			if !s.Masks[th.Allowed].Equal(topology.NewCPUSet(cpu)) {
				t.Errorf("thread %d has {%s}", tt.tid, s.Masks[th.Allowed])
			}
		}
	}
}

func setMask(t *testing.T, tid int, mask topology.CPUSet) {
	t.Helper()
	var set unix.CPUSet
	for cpu := range mask.All() {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		t.Fatal(err)
	}
}
