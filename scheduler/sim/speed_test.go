// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/scheduler/sim"
	"mllb/topology"
)

// Two threads on the siblings of a hidden core do half of what they could; the CPU time that
// they are charged does not show it, but what is measured does.
func TestHiddenSiblings(t *testing.T) {
	for _, tc := range []struct {
		name  string
		on    []int // CPUs of the threads, each with four seconds of work
		speed []uint32
		took  time.Duration
		want  []uint32 // measured while they run
	}{
		{"apart", []int{0, 2}, nil, 4 * time.Second, []uint32{1024, 512, 1024, 512}},
		{"together", []int{0, 1}, nil, 8 * time.Second, []uint32{512, 512, 1024, 1024}},
		{"alone on a slow CPU", []int{3}, []uint32{1024, 1024, 1024, 256}, 16 * time.Second, []uint32{1024, 1024, 512, 256}},
	} {
		real, err := topology.Parse("1x2x2")
		if err != nil {
			t.Fatal(err)
		}
		h := newHost(t, "1x4x1", sim.Options{Real: real, Speeds: tc.speed, CoRun: 512, Slice: 10 * ms})
		for _, cpu := range tc.on {
			h.Start(1, sim.Spec{CPU: cpu, Work: 4 * time.Second})
		}
		took := time.Duration(0)
		for ; !h.Done(); took += 10 * ms {
			h.Step(10 * ms)
			if s := snap(t, h); took == tc.took/2 {
				h.Speeds(s)
				var got []uint32
				for i := range s.Runqueues {
					got = append(got, s.Runqueues[i].Speed)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s: measured (-want +got):\n%s", tc.name, diff)
				}
			}
		}
		if took != tc.took {
			t.Errorf("%s: took %v, want %v", tc.name, took, tc.took)
		}
	}
}
