// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"testing"

	"mllb/features"
)

// TestForking: a thread that was given back may be in the middle of a fork
// until it sleeps, ends, or got enough of a CPU.
func TestForking(t *testing.T) {
	const tid = 200
	for name, tt := range map[string]struct {
		state byte
		ran   []uint64 // CPU time at each look
		want  []bool
	}{
		"asleep":                     {'S', []uint64{10, 10}, []bool{false, false}},
		"gets no CPU":                {'R', []uint64{10, 10, 10}, []bool{true, true, true}},
		"in reclaim":                 {'D', []uint64{10, 10}, []bool{true, true}},
		"gets a little, then enough": {'R', []uint64{10, 10 + forkTicks - 1, 10 + forkTicks}, []bool{true, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost()
			task := &fakeTask{Task: Task{ID: features.ID{TID: tid, Start: 5}, TGID: tid, State: tt.state, Threads: 1, Mask: h.all()}}
			h.tasks[tid] = task
			e := &Enforcer{sys: h, lineage: lineage{past: []*entry{{record: record{ID: task.ID, TGID: tid}}}}}
			first := make(forks)
			for i, want := range tt.want {
				task.Ran = tt.ran[i]
				if got := e.forking(first); got != want {
					t.Errorf("look %d: %v, want %v", i, got, want)
				}
			}
			delete(h.tasks, tid)
			if e.forking(first) {
				t.Error("it has ended, and is still waited for")
			}
		})
	}
}
