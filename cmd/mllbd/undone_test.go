// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"mllb/features"
	"mllb/scheduler"
)

// A move is undone if the kernel has the thread back within a second of its being let go.
func TestUndone(t *testing.T) {
	// at is where a thread that was moved from CPU 0 to 1 at second 10 is seen later.
	type at struct {
		second float64
		cpu    int32
		hold   int32
	}
	for _, tc := range []struct {
		name string
		seen []at
		want uint64
	}{
		{"it stays", []at{{10.5, 1, 1}, {11, 1, -1}, {11.9, 1, -1}}, 0},
		{"back at once", []at{{10.5, 1, 1}, {11, 0, -1}}, 1},
		{"back within a second of its lease", []at{{10.5, 1, 1}, {11, 1, -1}, {11.5, 0, -1}}, 1},
		{"back only once", []at{{10.5, 0, -1}, {10.6, 0, -1}}, 1},
		{"much later", []at{{10.5, 1, 1}, {11.6, 0, -1}}, 0},
		{"elsewhere", []at{{10.5, 1, 1}, {11, 2, -1}}, 0},
		{"held where it was, by mllbd", []at{{10.5, 0, 0}}, 0},
	} {
		var u undone
		s := &features.Snapshot{Time: 10e9, Threads: []features.Thread{
			{ID: features.ID{TID: 7}, Hold: -1}, {ID: features.ID{TID: 8}, CPU: 2, Hold: -1},
		}}
		plan := &scheduler.Plan{Candidates: []scheduler.Candidate{{From: 0, To: 1}, {Thread: 1, From: 2, To: 3, Hold: 1}}}
		got := u.tick(&scheduler.Tick{Snapshot: s, Plan: plan, Errors: []error{nil, nil}})
		s.Threads[1].CPU = 3
		for _, x := range tc.seen {
			s.Time = int64(x.second * 1e9)
			s.Threads[0].CPU, s.Threads[0].Hold = x.cpu, x.hold
			got += u.tick(&scheduler.Tick{Snapshot: s, Plan: &scheduler.Plan{}})
		}
		if got != tc.want {
			t.Errorf("%s: %d moves undone, want %d", tc.name, got, tc.want)
		}
	}
}
