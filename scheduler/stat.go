// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"mllb/features"
	"mllb/topology"
)

// NodeStat is how busy one NUMA node is.
type NodeStat struct {
	ID     int   // nid
	CPUs   int   // online CPUs
	Queued int   // threads that run or wait there
	Load   int64 // sum of their weights; 1024 is one thread of nice 0
	MinLen int   // threads on its least busy CPU
	MaxLen int   // threads on its busiest CPU
}

// Nodes appends a stat for each node of t that has CPUs, ascending by nid, to
// dst[:0]. Every thread counts, managed or not.
func Nodes(s *features.Snapshot, t *topology.Topology, dst []NodeStat) []NodeStat {
	lens := queueLengths(s, len(t.CPUs))
	index := make(map[int]int, len(t.Nodes))
	dst = dst[:0]
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.CPUs.Empty() {
			continue
		}
		index[n.ID] = len(dst)
		st := NodeStat{ID: n.ID, CPUs: n.CPUs.Count(), MinLen: lens[n.CPUs.First()]}
		for cpu := range n.CPUs.All() {
			st.Queued += lens[cpu]
			st.MinLen, st.MaxLen = min(st.MinLen, lens[cpu]), max(st.MaxLen, lens[cpu])
		}
		dst = append(dst, st)
	}
	for i := range s.Threads {
		if th := &s.Threads[i]; th.Queued() && t.Online.Has(int(th.CPU)) {
			dst[index[t.NodeOf(int(th.CPU))]].Load += int64(weight(th))
		}
	}
	return dst
}

// MaxImbalance returns the difference between the longest and the shortest
// queue of the given CPUs, in threads.
func MaxImbalance(s *features.Snapshot, cpus topology.CPUSet) int {
	if cpus.Empty() {
		return 0
	}
	lens := queueLengths(s, len(cpus)*64)
	lo, hi := lens[cpus.First()], 0
	for cpu := range cpus.All() {
		lo, hi = min(lo, lens[cpu]), max(hi, lens[cpu])
	}
	return hi - lo
}

// queueLengths counts the threads that run or wait on each CPU below n.
func queueLengths(s *features.Snapshot, n int) []int {
	lens := make([]int, n)
	for i := range s.Threads {
		if t := &s.Threads[i]; t.Queued() && t.CPU >= 0 && int(t.CPU) < n {
			lens[t.CPU]++
		}
	}
	return lens
}
