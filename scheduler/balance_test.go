// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"
	"time"

	"mllb/scheduler"
	"mllb/scheduler/sim"
)

// Eight busy threads on one of two CPUs: the demonstration of the README.
func TestSpreadsWithinASecond(t *testing.T) {
	for _, tc := range []struct {
		policy scheduler.Policy
		want   int // spread in the end
	}{
		{scheduler.CFS{}, 0},
		{scheduler.Always{}, 0},
		{scheduler.Never{}, 8},
	} {
		t.Run(tc.policy.Name(), func(t *testing.T) {
			r := newRig(sim.Options{Topology: machine(t, "1x2x1"), Seed: 1, MigrationCost: 500 * time.Microsecond},
				scheduler.Config{Mode: scheduler.Own}, tc.policy)
			r.host.Start(8, sim.Spec{Comm: "busy", CPU: 1})
			r.host.Start(3, sim.Spec{Comm: "sleeper", CPU: 0, Run: 4 * time.Millisecond, Sleep: 300 * time.Millisecond})
			even := 0
			for i := range 100 {
				r.tick(tick)
				busy := [2]int{}
				for j := range r.s.Threads {
					if th := &r.s.Threads[j]; th.Name() == "busy" {
						busy[th.CPU]++
					}
				}
				if i >= 10 && max(busy[0]-busy[1], busy[1]-busy[0]) == tc.want {
					even++
				}
			}
			if even < 85 {
				t.Errorf("difference of %d in %d of 90 samples, want at least 85; queues %v", tc.want, even, r.lengths())
			}
			if err := r.host.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}
