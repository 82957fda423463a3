// SPDX-License-Identifier: Apache-2.0

package features

import (
	"testing"

	"pgregory.net/rapid"

	"mllb/topology"
)

// TestMask holds the interning against its definition: equal sets, whatever
// their trailing zeros, have one index, and that index has an equal set.
func TestMask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Snapshot
		seen := map[string]int32{}
		words := rapid.SliceOfN(rapid.Uint64Range(0, 3), 0, 4)
		for range rapid.IntRange(1, 60).Draw(t, "masks") {
			m := topology.CPUSet(words.Draw(t, "mask"))
			i := s.Mask(m)
			if !s.Masks[i].Equal(m) {
				t.Fatalf("Mask(%v) = %d, which is %v", m, i, s.Masks[i])
			}
			if j, ok := seen[m.String()]; ok && i != j {
				t.Fatalf("Mask(%v) = %d, was %d", m, i, j)
			}
			seen[m.String()] = i
		}
		if len(s.Masks) != len(seen) {
			t.Fatalf("%d masks for %d sets", len(s.Masks), len(seen))
		}
	})
}

func TestMaskCopies(t *testing.T) {
	var s Snapshot
	m := topology.NewCPUSet(1)
	i := s.Mask(m)
	m.Add(2)
	if got := s.Masks[i]; !got.Equal(topology.NewCPUSet(1)) {
		t.Errorf("the snapshot's mask became %v with its argument", got)
	}
}

func TestMaskAllocations(t *testing.T) {
	var s Snapshot
	fill := func() {
		s.Reset()
		for c := range 64 {
			s.Mask(topology.CPUSet{1 << c})
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n > 0 {
		t.Errorf("%v allocations for masks already known", n)
	}
}

func TestResetBoundsMasks(t *testing.T) {
	var s Snapshot
	for i := range maxMasks + 1 {
		s.Mask(topology.CPUSet{uint64(i)})
	}
	s.Reset()
	if len(s.Masks) != 0 {
		t.Fatalf("%d masks after Reset", len(s.Masks))
	}
	if i := s.Mask(topology.CPUSet{7}); i != 0 || !s.Masks[0].Equal(topology.CPUSet{7}) {
		t.Errorf("Mask = %d, %v", i, s.Masks)
	}
}

// Once a host had many threads, their memory is given back with the snapshots that have few.
func TestResetGivesBack(t *testing.T) {
	var s Snapshot
	s.Threads = make([]Thread, 20*muchRoom)
	for _, want := range []bool{true, false} {
		s.Reset()
		if got := cap(s.Threads) > muchRoom; got != want {
			t.Errorf("room for %d threads", cap(s.Threads))
		}
		s.Threads = append(s.Threads, Thread{})
	}
}
