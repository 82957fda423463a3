// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"

	"mllb/scheduler"
)

// What a decision says of its two CPUs' worth, before and after planned moves.
func TestDecisionsTellSpeedAndSiblings(t *testing.T) {
	type facts struct {
		From, To                 int32
		SrcSpeed, DstSpeed       uint32
		SrcSiblings, DstSiblings uint8
	}
	for _, tc := range []struct {
		name, machine string
		lens          []int    // by CPU
		speeds        []uint32 // by CPU
		ticks         int
		want          []facts
	}{
		{"no siblings", "1x2x1", []int{2, 0}, []uint32{512, 1024}, 1, []facts{{0, 1, 512, 1024, 0, 0}}},
		{"speeds not known", "1x2x1", []int{2, 0}, nil, 1, []facts{{0, 1, 0, 0, 0, 0}}},
		{"one of two known", "1x2x1", []int{0, 2}, []uint32{700}, 1, []facts{{1, 0, 0, 700, 0, 0}}},
		{"between siblings a CPU counts itself on neither side", "1x1x2", []int{4, 0}, nil, 1, []facts{{0, 1, 0, 0, 0, 1}, {0, 1, 0, 0, 1, 1}}},
		{"a destination becomes a busy sibling", "1x2x2", []int{2, 2, 0, 0}, []uint32{1024, 1000, 900, 800}, 1, []facts{
			{0, 2, 1024, 900, 1, 0},
			{1, 3, 1000, 800, 1, 1},
		}},
		{"four threads a core", "1x2x4", []int{4, 1, 1, 0, 0, 0, 1, 0}, nil, 1, []facts{
			{0, 3, 0, 0, 2, 3},
			{0, 1, 0, 0, 3, 3},
			{0, 4, 0, 0, 3, 1},
		}},
		{"a source that active balance empties is no busy sibling", "1x3x4", []int{1, 1, 1, 1}, []uint32{0, 0, 0, 0, 1024}, 2, []facts{
			{0, 4, 0, 1024, 3, 0},
			{1, 8, 0, 0, 2, 0},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newBed(t, tc.machine, scheduler.Always{}, scheduler.Config{})
			for cpu, n := range tc.lens {
				x.put(cpu, n)
			}
			for cpu, speed := range tc.speeds {
				x.s.Runqueues[cpu].Speed = speed
			}
			got := []facts{}
			for range tc.ticks {
				for _, c := range x.tick() {
					if d := &c.Decision; c.Asked || c.Active {
						got = append(got, facts{d.SrcCPU, d.DstCPU, d.SrcSpeed, d.DstSpeed, d.SrcBusySiblings, d.DstBusySiblings})
					}
				}
			}
			want(t, "facts", tc.want, got)
		})
	}
}
