// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func cpuSets(lists ...string) (sets []CPUSet) {
	for _, list := range lists {
		set, err := ParseCPUList(list)
		if err != nil {
			panic(err)
		}
		sets = append(sets, set)
	}
	return sets
}

func TestRegroup(t *testing.T) {
	for _, tt := range []struct {
		name, told         string
		cores, llcs, nodes []CPUSet
		want               string
		wantCores          []CPUSet
		wantLLCs           []CPUSet
	}{
		{"nothing", "1x2x2", nil, nil, nil, "4 CPUs, 2 cores, 1 last-level cache, 1 node", cpuSets("0-1", "2-3"), cpuSets("0-3")},
		{"stacked", "1x4x1", cpuSets("0-1", "2-3"), nil, nil, "4 CPUs, 2 cores, 1 last-level cache, 1 node", cpuSets("0-1", "2-3"), cpuSets("0-3")},
		{"one pair", "1x4x1", cpuSets("0,2"), nil, nil, "4 CPUs, 3 cores, 1 last-level cache, 1 node", cpuSets("0,2", "1", "3"), cpuSets("0-3")},
		{"a told core is split", "1x2x2", cpuSets("0", "1"), nil, nil, "4 CPUs, 3 cores, 1 last-level cache, 1 node", cpuSets("0", "1", "2-3"), cpuSets("0-3")},
		{"others than told", "1x2x2", cpuSets("1-2"), nil, nil, "4 CPUs, 3 cores, 1 last-level cache, 1 node", cpuSets("0", "1-2", "3"), cpuSets("0-3")},
		{"caches", "1x4x1", nil, cpuSets("0-1", "2-3"), nil, "4 CPUs, 4 cores, 2 last-level caches, 1 node", cpuSets("0", "1", "2", "3"), cpuSets("0-1", "2-3")},
		{"a core over two caches", "1x3x1x1", cpuSets("0,2"), nil, nil, "3 CPUs, 2 cores, 2 last-level caches, 1 node", cpuSets("0,2", "1"), cpuSets("0,2", "1")},
		{"nodes", "1x4x1", nil, cpuSets("0,2", "1,3"), cpuSets("0,2", "1,3"), "4 CPUs, 4 cores, 2 last-level caches, 2 nodes", cpuSets("0", "1", "2", "3"), cpuSets("0,2", "1,3")},
		{"nodes where there are", "2x2x1", nil, nil, cpuSets("0,2", "1,3"), "4 CPUs, 4 cores, 2 last-level caches, 2 nodes", cpuSets("0", "1", "2", "3"), cpuSets("0-1", "2-3")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told, err := Parse(tt.told)
			if err != nil {
				t.Fatal(err)
			}
			before, err := json.Marshal(told)
			if err != nil {
				t.Fatal(err)
			}
			got := told.Regroup(tt.cores, tt.llcs, tt.nodes)
			if got.String() != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			equal := cmp.Comparer(CPUSet.Equal)
			if diff := cmp.Diff(tt.wantCores, got.Cores, equal); diff != "" {
				t.Errorf("cores (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantLLCs, got.LLCs, equal); diff != "" {
				t.Errorf("caches (-want +got):\n%s", diff)
			}
			if after, err := json.Marshal(told); err != nil || string(after) != string(before) {
				t.Errorf("what was told has changed: %s, %v", after, err)
			}
		})
	}
}

// TestRegroupAsTold: with what it says itself, a topology stays as it is, and with
// anything it nests and loses no CPU.
func TestRegroupAsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told, err := Parse(rapid.SampledFrom([]string{"1x4x1", "2x4x2", "1x2x2x2", "3x1x4"}).Draw(t, "told"))
		if err != nil {
			t.Fatal(err)
		}
		same := told.Regroup(told.Cores, told.LLCs, nil)
		if diff := cmp.Diff(told.Document(), same.Document()); diff != "" {
			t.Errorf("as told (-told +got):\n%s", diff)
		}
		n := len(told.CPUs)
		part := func(name string) (sets []CPUSet) {
			of := rapid.SliceOfN(rapid.IntRange(-1, 3), n, n).Draw(t, name) // -1: in none
			for k := range 4 {
				var set CPUSet
				for cpu, g := range of {
					if g == k {
						set.Add(cpu)
					}
				}
				if !set.Empty() {
					sets = append(sets, set)
				}
			}
			return sets
		}
		got := told.Regroup(part("cores"), part("llcs"), nil)
		if !got.Online.Equal(told.Online) {
			t.Fatalf("online %v", got.Online)
		}
		for _, core := range got.Cores {
			if !slices.ContainsFunc(got.LLCs, core.SubsetOf) {
				t.Errorf("core %v is in no cache of %v", core, got.LLCs)
			}
		}
	})
}
