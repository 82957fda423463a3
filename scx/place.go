// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"cmp"
	"fmt"
	"slices"

	"mllb/features"
	"mllb/topology"
)

// Limits of the scheduler in BPF (scx.h).
const (
	maxCPUs     = 1024
	maxSiblings = 7
)

// place is struct mllb_place.
type place struct {
	Speed    uint32
	Nid      int32
	Siblings uint16
	Sibling  [maxSiblings]uint16
	End      [topology.NumLevels]uint16
	_        [4]uint16
}

// near is struct mllb_near.
type near struct{ CPU [maxCPUs]uint16 }

// placesOf says where each CPU is, and which are near it. speeds are by CPU, of
// features.FullSpeed; where there are none, or 0, a CPU is as fast as any.
func placesOf(t *topology.Topology, speeds []uint32) ([]place, []near, error) {
	if len(t.CPUs) > maxCPUs {
		return nil, nil, fmt.Errorf("scx: %d CPUs, but the scheduler is built for at most %d", len(t.CPUs), maxCPUs)
	}
	out := topology.AllLeftOut(t.LeftOut)
	places, nears := make([]place, len(t.CPUs)), make([]near, len(t.CPUs))
	var up []int
	for cpu := range t.CPUs {
		if t.CPUs[cpu].Online && !out.Has(cpu) {
			up = append(up, cpu)
		}
	}
	for _, cpu := range up {
		p := &places[cpu]
		p.Speed, p.Nid = speedOr(0), int32(t.NodeOf(cpu))
		if cpu < len(speeds) {
			p.Speed = speedOr(speeds[cpu])
		}
		order := slices.Clone(up)
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(levelOf(t, cpu, a), levelOf(t, cpu, b)),
				cmp.Compare(t.Distance(t.NodeOf(cpu), t.NodeOf(a)), t.Distance(t.NodeOf(cpu), t.NodeOf(b))),
				cmp.Compare((a-cpu+len(t.CPUs))%len(t.CPUs), (b-cpu+len(t.CPUs))%len(t.CPUs))) // each CPU begins elsewhere
		})
		for i, other := range order {
			nears[cpu].CPU[i] = uint16(other)
			for l := levelOf(t, cpu, other); l < topology.NumLevels; l++ {
				p.End[l]++
			}
			if other == cpu || !t.SameCore(cpu, other) {
				continue
			}
			if int(p.Siblings) == maxSiblings {
				return nil, nil, fmt.Errorf("scx: CPU %d has more than %d SMT siblings", cpu, maxSiblings)
			}
			p.Sibling[p.Siblings] = uint16(other)
			p.Siblings++
		}
	}
	return places, nears, nil
}

// speedOr is a CPU's speed, or that of the fastest where it is not known.
func speedOr(speed uint32) uint32 {
	if speed == 0 {
		return features.FullSpeed
	}
	return min(speed, features.FullSpeed)
}

// levelOf is the closest level at which two CPUs share something.
func levelOf(t *topology.Topology, a, b int) topology.Level {
	switch {
	case t.SameCore(a, b):
		return topology.SMT
	case t.SameLLC(a, b):
		return topology.LLC
	case t.NodeOf(a) == t.NodeOf(b):
		return topology.Node
	}
	return topology.Machine
}
