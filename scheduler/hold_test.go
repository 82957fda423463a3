// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// held is what a plan holds and lets go, by thread id.
type held struct {
	Holds    map[int32]int32
	Moves    int
	Releases []int32
}

// planFor plans for a host of four CPUs, of which 3 is offline.
func planFor(t *testing.T, cfg scheduler.Config, change func(s *features.Snapshot, th *features.Thread)) held {
	t.Helper()
	s := &features.Snapshot{Time: 1e9, Runqueues: make([]features.Runqueue, 4)}
	for cpu := range 3 {
		s.Runqueues[cpu].Online = true
	}
	all := s.Mask(topology.NewCPUSet(0, 1, 2, 3))
	for cpu := range int32(3) {
		s.Threads = append(s.Threads, features.Thread{
			ID: features.ID{TID: 10 + cpu}, CPU: cpu, State: 'R', Running: true, Runnable: 1024, Managed: true,
			PreferredNode: features.NoNode, Faults: -1, Hold: -1, Allowed: all, Owner: all, Delta: 1e6,
		})
	}
	change(s, &s.Threads[0])
	b := scheduler.NewBalancer(machine(t, "1x4x1"), cfg, scheduler.Always{})
	p := b.Plan(s)
	got := held{Holds: map[int32]int32{}}
	for _, h := range p.Holds {
		got.Holds[s.Threads[h.Thread].TID] = h.CPU
	}
	for i := range p.Candidates {
		if p.Candidates[i].Hold >= 0 {
			got.Moves++
		}
	}
	for _, i := range p.Releases {
		got.Releases = append(got.Releases, s.Threads[i].TID)
	}
	return got
}

func TestHolds(t *testing.T) {
	busy := scheduler.Config{Mode: scheduler.Own}
	every := scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldAll}
	in := func(m map[int32]int32) held { return held{Holds: m} }
	for _, tc := range []struct {
		name   string
		cfg    scheduler.Config
		change func(s *features.Snapshot, th *features.Thread)
		want   held
	}{
		{"each where it is", busy, func(_ *features.Snapshot, th *features.Thread) {}, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"held already", busy, func(_ *features.Snapshot, th *features.Thread) { th.Hold = 0 }, in(map[int32]int32{11: 1, 12: 2})},
		{"not managed", busy, func(_ *features.Snapshot, th *features.Thread) { th.Managed = false }, in(map[int32]int32{11: 1, 12: 2})},
		{"not busy enough", busy, func(_ *features.Snapshot, th *features.Thread) { th.Runnable = 511 }, in(map[int32]int32{11: 1, 12: 2})},
		{"newborn", busy, func(s *features.Snapshot, th *features.Thread) { s.Now, th.Start = 1000, 901 }, in(map[int32]int32{11: 1, 12: 2})},
		{"newborn no more", busy, func(s *features.Snapshot, th *features.Thread) { s.Now, th.Start = 1000, 900 }, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"as old as it takes otherwise", scheduler.Config{Mode: scheduler.Own, Newborn: 3 * time.Second},
			func(s *features.Snapshot, th *features.Thread) { s.Now, th.Start = 1000, 701 }, in(map[int32]int32{11: 1, 12: 2})},
		{"newborn, hold all", every, func(s *features.Snapshot, th *features.Thread) { s.Now, th.Start = 1000, 1000 }, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"not busy enough, hold all", every, func(_ *features.Snapshot, th *features.Thread) { th.Runnable = 511 }, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"asleep", busy, func(_ *features.Snapshot, th *features.Thread) { th.State, th.Running = 'S', false }, in(map[int32]int32{11: 1, 12: 2})},
		{"asleep, hold all", every, func(_ *features.Snapshot, th *features.Thread) { th.State, th.Running = 'S', false }, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"assist holds only what it moves", scheduler.Config{}, func(_ *features.Snapshot, th *features.Thread) {}, in(map[int32]int32{})},
		{"asleep for long", busy, func(_ *features.Snapshot, th *features.Thread) {
			th.State, th.Running, th.Hold, th.Runnable = 'S', false, 0, 255
		},
			held{Holds: map[int32]int32{11: 1, 12: 2}, Releases: []int32{10}}},
		{"asleep for a moment", busy, func(_ *features.Snapshot, th *features.Thread) {
			th.State, th.Running, th.Hold, th.Runnable = 'S', false, 0, 256
		},
			in(map[int32]int32{11: 1, 12: 2})},
		{"woken", busy, func(_ *features.Snapshot, th *features.Thread) { th.Hold, th.Runnable = 0, 100 }, in(map[int32]int32{11: 1, 12: 2})},
		{"asleep for long, hold all", every, func(_ *features.Snapshot, th *features.Thread) {
			th.State, th.Running, th.Hold, th.Runnable = 'S', false, 0, 0
		},
			in(map[int32]int32{11: 1, 12: 2})},
		{"its cpu went: where it is now", busy, func(_ *features.Snapshot, th *features.Thread) { th.Hold = 3 }, in(map[int32]int32{10: 0, 11: 1, 12: 2})},
		{"its cpu went: elsewhere", every, func(s *features.Snapshot, th *features.Thread) {
			th.Hold, th.CPU, th.State, th.Running = 3, 3, 'S', false
			th.Owner = s.Mask(topology.NewCPUSet(1, 2, 3))
			s.Threads[1].State, s.Threads[1].Running = 'S', false // cpu 1 is idle
		}, in(map[int32]int32{10: 1, 11: 1, 12: 2})},
		{"its cpu went: nowhere to go", every, func(s *features.Snapshot, th *features.Thread) {
			th.Hold, th.CPU, th.State, th.Running = 3, 3, 'S', false
			th.Owner = s.Mask(topology.NewCPUSet(3))
		}, held{Holds: map[int32]int32{11: 1, 12: 2}, Releases: []int32{10}}},
		{"held and moved at once", busy, func(s *features.Snapshot, th *features.Thread) {
			s.Threads[1].CPU, s.Threads[1].Running = 0, false // waits on cpu 0; cpu 1 is idle
		}, held{Holds: map[int32]int32{10: 0, 11: 1, 12: 2}, Moves: 1}},
		{"no budget: held in place", scheduler.Config{Mode: scheduler.Own, Budget: -1}, func(s *features.Snapshot, th *features.Thread) {
			s.Threads[1].CPU, s.Threads[1].Running = 0, false
		}, in(map[int32]int32{10: 0, 11: 0, 12: 2})},
		{"assist: a lease is running", scheduler.Config{Mode: scheduler.Assist}, func(s *features.Snapshot, th *features.Thread) {
			s.Threads[1].CPU, s.Threads[1].Running, s.Threads[1].Hold = 0, false, 0
		}, in(map[int32]int32{})},
		{"assist: the lease has ended", scheduler.Config{Mode: scheduler.Assist}, func(s *features.Snapshot, th *features.Thread) {
			s.Threads[1].CPU, s.Threads[1].Running = 0, false
		}, held{Holds: map[int32]int32{11: 1}, Moves: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, planFor(t, tc.cfg, tc.change)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// A hold that failed starts no cool-down, one that took effect does; for an
// idle CPU a tenth of it will do.
func TestCommit(t *testing.T) {
	for _, tt := range []struct {
		name         string
		failed, idle bool
		step         time.Duration
		want         []int
	}{
		{"to an idle CPU", false, true, 40 * time.Millisecond, []int{1, 0, 0, 1}},
		{"to a busy CPU", false, false, 400 * time.Millisecond, []int{1, 0, 0, 1}},
		{"failed", true, true, time.Millisecond, []int{1, 1, 1, 1}},
		{"failed, to a busy CPU", true, false, time.Millisecond, []int{1, 1, 1, 1}},
	} {
		s := &features.Snapshot{Time: 1e9, Runqueues: []features.Runqueue{{Online: true}, {Online: true}}}
		all := s.Mask(topology.NewCPUSet(0, 1))
		thread := func(cpu int32, running, pinned bool) {
			s.Threads = append(s.Threads, features.Thread{
				ID: features.ID{TID: int32(len(s.Threads) + 1)}, State: 'R', CPU: cpu, Running: running, MigrationDisabled: pinned,
				Runnable: 1024, Managed: true, Faults: -1, Hold: cpu, Owner: all, PreferredNode: features.NoNode,
			})
		}
		thread(0, true, false)
		thread(0, false, false)
		if !tt.idle {
			thread(0, false, true)
			thread(0, false, true)
			thread(1, true, false)
		}
		b := scheduler.NewBalancer(machine(t, "1x2x1"), scheduler.Config{Mode: scheduler.Own, CoolDown: time.Second}, scheduler.Always{})
		errs := []error{nil}
		if tt.failed {
			errs[0] = errTest
		}
		for tick, want := range tt.want {
			p := b.Plan(s)
			if len(p.Holds) != want {
				t.Errorf("%s: %d holds at tick %d, want %d", tt.name, len(p.Holds), tick, want)
			}
			b.Commit(s, p, errs[:min(len(errs), len(p.Holds))])
			s.Time += int64(tt.step)
		}
	}
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("refused")
