// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// isolating reads the topology of a host of 8 CPUs, of which some are isolated.
func isolating(t testing.TB, isolated topology.CPUSet) *topology.Topology {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "sys/devices/system/cpu")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"online": "0-7", "present": "0-7", "possible": "0-7", "isolated": isolated.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	topo, err := topology.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// TestLeftOut: whatever runs where and whatever masks say, nothing is held on a
// CPU that is left out, and what is held on one is let go.
func TestLeftOut(t *testing.T) {
	out := topology.NewCPUSet(2, 3, 7)
	topo := isolating(t, out)
	rapid.Check(t, func(t *rapid.T) {
		cfg := scheduler.Config{
			Mode: rapid.SampledFrom([]scheduler.Mode{scheduler.Assist, scheduler.Own}).Draw(t, "mode"),
			Hold: rapid.SampledFrom([]scheduler.HoldPolicy{scheduler.HoldBusy, scheduler.HoldAll}).Draw(t, "hold"),
		}
		b := scheduler.NewBalancer(topo, cfg, scheduler.Always{})
		f := &scheduler.Filter{LeftOut: topology.AllLeftOut(topo.LeftOut)}
		for tick := range 12 {
			s := &features.Snapshot{Time: int64(tick+1) * int64(time.Second), Runqueues: make([]features.Runqueue, 8)}
			all := s.Mask(topology.NewCPUSet(0, 1, 2, 3, 4, 5, 6, 7))
			for cpu := range 8 {
				s.Runqueues[cpu].Online = true
			}
			for i := range rapid.IntRange(0, 12).Draw(t, "threads") {
				cpu := int32(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 7}).Draw(t, "cpu"))
				s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: int32(10 + i)}, TGID: int32(10 + i), CPU: cpu,
					State: 'R', Runnable: 1024, Managed: true, PreferredNode: features.NoNode, Faults: -1, Allowed: all, Owner: all,
					Hold: rapid.SampledFrom([]int32{-1, cpu}).Draw(t, "hold"), Delta: 1e6})
			}
			f.Mark(s)
			plan := b.Plan(s)
			for _, h := range plan.Holds {
				if th := &s.Threads[h.Thread]; out.Has(int(h.CPU)) || out.Has(int(th.CPU)) {
					t.Fatalf("thread on CPU %d held on CPU %d", th.CPU, h.CPU)
				}
			}
			b.Commit(s, plan, nil)
		}
	})
}

// The crowd on the CPUs that are balanced is spread over those.
func TestLeftOutSpreads(t *testing.T) {
	topo := isolating(t, topology.NewCPUSet(2, 3, 7))
	b := scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own, Budget: 16}, scheduler.Always{})
	s := &features.Snapshot{Time: 1e9, Runqueues: make([]features.Runqueue, 8)}
	all := s.Mask(topology.NewCPUSet(0, 1, 2, 3, 4, 5, 6, 7))
	for cpu := range 8 {
		s.Runqueues[cpu].Online = true
	}
	for i := range int32(10) {
		s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: 10 + i}, State: 'R', Runnable: 1024, Managed: true,
			PreferredNode: features.NoNode, Faults: -1, Allowed: all, Owner: all, Hold: -1, Delta: 1e6})
	}
	on := map[int32]int{}
	for _, h := range b.Plan(s).Holds {
		on[h.CPU]++
	}
	for _, cpu := range []int32{0, 1, 4, 5, 6} {
		if on[cpu] != 2 {
			t.Errorf("10 threads on five CPUs: %v", on)
			break
		}
	}
}

// A thread that cannot stay where it is finds no refuge on a CPU that is left out.
func TestLeftOutIsNoRefuge(t *testing.T) {
	topo := isolating(t, topology.NewCPUSet(2, 3, 7))
	for _, tt := range []struct {
		owner topology.CPUSet
		want  []int32
	}{
		{topology.NewCPUSet(2, 3, 5, 7), []int32{5}},
		{topology.NewCPUSet(2, 3), nil},
	} {
		s := &features.Snapshot{Time: 1e9, Runqueues: make([]features.Runqueue, 8)}
		for cpu := range 8 {
			s.Runqueues[cpu].Online = true
		}
		owner := s.Mask(tt.owner)
		s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: 10}, State: 'R', Runnable: 1024, Managed: true,
			PreferredNode: features.NoNode, Faults: -1, Allowed: owner, Owner: owner, Hold: -1, Delta: 1e6})
		var got []int32
		for _, h := range scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, scheduler.Always{}).Plan(s).Holds {
			got = append(got, h.CPU)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("allowed {%s}: held on %v, want %v", tt.owner, got, tt.want)
		}
	}
}
