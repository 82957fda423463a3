// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"testing"
	"time"

	"mllb/features"
	"mllb/topology"
)

// TestWholeMasks: nobody narrowed a mask that has what ordinary threads have
// on this host, in this cpuset.
func TestWholeMasks(t *testing.T) {
	cpus := func(list string) topology.CPUSet {
		set, err := topology.ParseCPUList(list)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	for _, tt := range []struct {
		name     string
		init     string // mask of pid 1; "": it cannot be seen
		initSet  string // what its cpuset allows; "": all
		leftOut  string
		baseline string // of CMD; "": none
		cpuset   string // of the thread; "": it bounds nothing; "-": nobody balances it
		mask     string
		want     bool
	}{
		{"a plain host", "0-7", "", "", "", "", "0-7", true},
		{"narrowed", "0-7", "", "", "", "", "0-6", false},
		{"init cannot be seen", "", "", "", "", "", "0-7", true},
		{"init cannot be seen, narrowed", "", "", "", "", "", "0-6", false},
		{"isolcpus=6-7", "0-5", "", "6-7", "", "", "0-5", true},
		{"isolcpus=6-7, as container runtimes leave masks", "0-5", "", "6-7", "", "", "0-7", true},
		{"isolcpus=6-7, narrowed", "0-5", "", "6-7", "", "", "0-4", false},
		{"isolcpus=6-7, put there", "0-5", "", "6-7", "", "", "6-7", false},
		{"isolcpus=6-7, one of each", "0-5", "", "6-7", "", "", "5-6", false},
		{"nohz_full=6-7, on the others", "0-7", "", "6-7", "", "", "0-5", true},
		{"nohz_full=6-7, narrowed", "0-7", "", "6-7", "", "", "1-7", false},
		{"CPUAffinity=0-3", "0-3", "", "", "", "", "0-3", true},
		{"CPUAffinity=0-3, widened by its owner", "0-3", "", "", "", "", "0-7", true},
		{"CPUAffinity=0-3, narrowed", "0-3", "", "", "", "", "0-2", false},
		{"CPUAffinity=0-3, elsewhere", "0-3", "", "", "", "", "4-7", false},
		{"a cpuset of 4-7", "0-7", "", "", "", "4-7", "4-7", true},
		{"a cpuset of 4-7, narrowed", "0-7", "", "", "", "4-7", "4-6", false},
		{"a cpuset of 2-5 and CPUAffinity=0-3", "0-3", "", "", "", "2-5", "2-3", true},
		{"a cpuset of 2-5 and CPUAffinity=0-3, all of it", "0-3", "", "", "", "2-5", "2-5", true},
		{"a cpuset of 2-5 and CPUAffinity=0-3, narrowed", "0-3", "", "", "", "2-5", "3-5", false},
		{"a cpuset beside CPUAffinity=0-3", "0-3", "", "", "", "4-7", "4-7", true},
		{"a cpuset of one CPU", "0-7", "", "", "", "4", "4", false},
		{"a cpuset of one CPU that is balanced", "0-5", "", "6-7", "", "5-6", "5-6", false},
		{"a cpuset of isolated CPUs", "0-5", "", "6-7", "", "6-7", "6-7", false},
		{"an isolated partition that nothing else tells of", "0-7", "", "", "", "-", "4-7", false},
		{"a cpuset of CPUs that are off line", "0-7", "", "", "", "8-9", "8-9", false},
		{"init has a cpuset of its own", "0-1", "0-1", "", "", "4-7", "4-7", true},
		{"init has a cpuset of its own, in none", "0-1", "0-1", "", "", "", "0-7", true},
		{"init has a cpuset of its own, narrowed to that", "0-1", "0-1", "", "", "", "0-1", false},
		{"CMD on some CPUs", "0-7", "", "", "2-3", "", "2-3", true},
		{"CMD on some CPUs, narrowed", "0-7", "", "", "2-4", "", "2-3", false},
		{"CMD on an isolated one and another", "0-5", "", "6-7", "5-6", "", "5-6", true},
		{"CMD on isolated ones", "0-5", "", "6-7", "6-7", "", "6-7", false},
		{"CMD on isolated ones, widened by its owner", "0-5", "", "6-7", "6-7", "", "0-7", false},
		{"everything is left out", "0-7", "", "0-7", "", "", "0-7", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &features.Snapshot{Runqueues: make([]features.Runqueue, 8), Time: 1}
			for cpu := range s.Runqueues {
				s.Runqueues[cpu].Online = true
			}
			thread := func(tid int32, mask string) {
				m := s.Mask(cpus(mask))
				s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: tid}, TGID: tid, Cgroup: uint64(tid),
					Managed: true, Allowed: m, Owner: m, Hold: -1, CPU: int32(cpus(mask).First())})
			}
			thread(900, tt.mask)
			if tt.init != "" {
				thread(1, tt.init)
			}
			f := Filter{LeftOut: cpus(tt.leftOut), ByCgroup: true, Cpuset: func(th *features.Thread) topology.CPUSet {
				switch set := map[int32]string{1: tt.initSet, 900: tt.cpuset}[th.TID]; set {
				case "":
					return nil
				case "-":
					return topology.CPUSet{}
				default:
					return cpus(set)
				}
			}}
			if tt.baseline != "" {
				f.Baseline = cpus(tt.baseline)
			}
			f.Mark(s)
			if got := s.Threads[0].Managed; got != tt.want {
				t.Errorf("managed: %v, want %v", got, tt.want)
			}
		})
	}
}

// Whoever is on a CPU that is left out is left alone while it is there.
func TestFilterLeftOut(t *testing.T) {
	f := Filter{LeftOut: topology.NewCPUSet(2)}
	for cpu, want := range []bool{true, true, false} {
		s := fill(features.Thread{ID: features.ID{TID: 900}, TGID: 900, CPU: int32(cpu)})
		if f.Mark(s); s.Threads[0].Managed != want {
			t.Errorf("on CPU %d managed: %v", cpu, s.Threads[0].Managed)
		}
	}
}

// What a cpuset allows is asked once for all of its threads, and again later.
func TestFilterAsksCpusets(t *testing.T) {
	asked := 0
	f := Filter{ByCgroup: true, Cpuset: func(*features.Thread) topology.CPUSet { asked++; return topology.NewCPUSet(0, 1) }}
	for _, tt := range []struct {
		at       time.Duration
		byCgroup bool
		want     int
	}{
		{1, true, 2}, {100 * time.Millisecond, true, 2}, {1 + believed, true, 4}, {2 + believed, false, 7},
	} {
		s := fill()
		s.Time, f.ByCgroup = int64(tt.at), tt.byCgroup
		for i, group := range []uint64{7, 7, 8, 8} { // two of them of one process
			s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: int32(10 + i)}, TGID: 10 + int32(max(1, i)), Cgroup: group, Owner: 2, Managed: true})
		}
		s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: 99}, TGID: 99, Cgroup: 9, Managed: true}) // has all CPUs
		if f.Mark(s); asked != tt.want {
			t.Errorf("at %v: asked %d times, want %d", tt.at, asked, tt.want)
		}
		for i := range s.Threads {
			if !s.Threads[i].Managed {
				t.Errorf("at %v: thread %d is not managed", tt.at, s.Threads[i].TID)
			}
		}
	}
}
