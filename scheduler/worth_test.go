// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"slices"
	"testing"

	"mllb/features"
	"mllb/scheduler"
)

// A busy thread is held while it has a core to itself, and there are worse places.
func TestHoldWorth(t *testing.T) {
	same := []uint32{0, 0, 0, 0}
	for _, tc := range []struct {
		name, machine string
		speeds        []uint32
		on            []int32 // CPUs of threads 1, 2, ..., the odd ones held there
		holds, lets   []int32
	}{
		{"equal CPUs below one cache", "1x4x1", same, []int32{0, 1, 2}, nil, []int32{1, 3}},
		{"equal as measured", "1x4x1", []uint32{1000, 1024, 950, 900}, []int32{0, 1, 2}, nil, []int32{1, 3}},
		{"one is slower", "1x4x1", []uint32{1024, 1000, 1024, 500}, []int32{0, 1, 2}, []int32{2}, nil},
		{"the slower one", "1x4x1", []uint32{1024, 1000, 1024, 500}, []int32{3, 1}, []int32{2}, []int32{1}},
		{"cores are shared", "1x2x2", same, []int32{0, 2}, []int32{2}, nil},
		{"one shared core", "1x2x2", same, []int32{0, 1, 2, 0}, nil, []int32{1}},
		{"a CPU of two threads", "2x2x1", same, []int32{0, 0, 1, 2, 3}, []int32{4}, []int32{1}},
		{"two nodes", "2x2x1", same, []int32{0, 1, 2}, []int32{2}, nil},
		{"two caches", "1x2x2x1", same, []int32{0, 1, 2}, []int32{2}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newBed(t, tc.machine, scheduler.CFS{}, scheduler.Config{})
			for i, cpu := range tc.on {
				if th := &x.put(int(cpu), 1)[0]; i%2 == 1 {
					th.Hold = -1
				}
			}
			for cpu, v := range tc.speeds {
				x.s.Runqueues[cpu].Speed = v
			}
			for policy, all := range map[scheduler.Policy]bool{scheduler.CFS{}: false, scheduler.Never{}: true} {
				// No budget: nothing is moved.
				cfg := scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldWorth, Budget: -1}
				p := scheduler.NewBalancer(x.topo, cfg, policy).Plan(&x.s)
				holds, lets := tc.holds, tc.lets
				if all { // the control: each is kept where it is
					holds, lets = nil, nil
					for i := range tc.on {
						if i%2 == 1 {
							holds = append(holds, int32(i+1))
						}
					}
				}
				want(t, policy.Name()+" holds", holds, tids(&x.s, p.Holds, func(h features.Hold) int32 { return h.Thread }))
				want(t, policy.Name()+" lets go", lets, tids(&x.s, p.Releases, func(i int32) int32 { return i }))
			}
		})
	}
}

func tids[T any](s *features.Snapshot, of []T, thread func(T) int32) (ids []int32) {
	for _, x := range of {
		ids = append(ids, s.Threads[thread(x)].TID)
	}
	slices.Sort(ids)
	return ids
}

// What was moved on a machine of equal CPUs is let go after its cool-down, and nothing is
// held again while nothing moves.
func TestMovedIsLetGo(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
	for i := range x.put(0, 2) {
		x.s.Threads[i].Hold = -1
	}
	b := scheduler.NewBalancer(x.topo, scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldWorth}, scheduler.Always{})
	var got [][2]int
	for range 7 {
		p := b.Plan(&x.s)
		got = append(got, [2]int{len(p.Holds), len(p.Releases)})
		for _, h := range p.Holds {
			x.s.Threads[h.Thread].CPU, x.s.Threads[h.Thread].Hold = h.CPU, h.CPU
		}
		for _, i := range p.Releases {
			x.s.Threads[i].Hold = -1
		}
		b.Commit(&x.s, p, nil)
		x.s.Time += int64(tick)
	}
	want(t, "holds and releases", [][2]int{{1, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 1}, {0, 0}}, got)
}
