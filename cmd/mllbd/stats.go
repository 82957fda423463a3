// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mllb/scheduler"
	"mllb/topology"
)

// nodeStat is one NUMA node at the last tick.
type nodeStat struct {
	ID       int
	CPUs     int
	Queue    []uint32 // cfs queue length of each of its CPUs, ascending by CPU
	Total    uint32
	Min, Max uint32
}

// counters is what mllbd knows of itself: totals since the start, and gauges of
// the last tick that succeeded.
type counters struct {
	Ticks, Failed, Missed uint64
	Quiet                 uint64        // ticks skipped: the host was as the last one left it
	Spared                uint64        // ticks left out to stay below --max-cpu
	Early                 uint64        // ticks that were not due: a CPU was idle while threads waited
	Took, TookMax         time.Duration // of all ticks together; of the slowest

	Candidates [topology.NumLevels][scheduler.NumReasons]uint64
	Asked      [topology.NumLevels]uint64
	Approved   [topology.NumLevels]uint64
	Outside    uint64                     // of those asked: policy cfs answered for the model
	Moves      [topology.NumLevels]uint64 // that took effect
	HoldFailed uint64                     // holds that the kernel refused
	InPlace    uint64                     // threads held where they were
	Released   uint64

	Imbalance    uint32 // longest less shortest cfs queue
	ImbalanceMax uint32
	ImbalanceSum uint64
	ImbalanceN   uint64 // ticks that were due and knew of it, of which that is the sum
	Threads      int
	Managed      int
	Held         int
	Nodes        []nodeStat

	Compared *compared // with the kernel's own decisions; nil where they are not

	Last    time.Time // start of the last tick that succeeded
	LastErr string    // of the last tick, "" if it succeeded
}

// stats collects counters from the daemon's ticks. Anybody may read them.
type stats struct {
	start time.Time
	cpu   time.Duration // spent before start, on getting ready

	agreement *agreement // nil where there is none

	mu sync.Mutex
	c  counters
}

// Tick counts one tick. Once warm it allocates nothing.
func (st *stats) Tick(t *scheduler.Tick) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := &st.c
	c.Ticks++
	c.Missed += t.Missed
	if t.Early {
		c.Early++
	}
	c.Took += t.Took
	c.TookMax = max(c.TookMax, t.Took)
	if t.Err != nil {
		c.Failed++
		c.LastErr = t.Err.Error()
		return
	}
	c.Last, c.LastErr = t.Start, ""
	if t.Spared {
		c.Spared++
		return
	}
	if t.Quiet { // the gauges hold, and count once more in the mean
		c.Quiet++
		c.ImbalanceSum += uint64(c.Imbalance)
		c.ImbalanceN++
		return
	}
	c.threads(t)
	c.candidates(t.Plan)
	c.effects(t)
	c.queues(t)
}

func (c *counters) threads(t *scheduler.Tick) {
	c.Threads, c.Managed, c.Held = len(t.Snapshot.Threads), 0, 0
	for i := range t.Snapshot.Threads {
		th := &t.Snapshot.Threads[i]
		if th.Managed {
			c.Managed++
		}
		if th.Hold >= 0 {
			c.Held++
		}
	}
}

func (c *counters) candidates(p *scheduler.Plan) {
	for i := range p.Candidates {
		cand := &p.Candidates[i]
		c.Candidates[cand.Level][cand.Reason]++
		if cand.Asked {
			c.Asked[cand.Level]++
			if cand.Verdict.Migrate {
				c.Approved[cand.Level]++
			}
			if cand.Verdict.Outside {
				c.Outside++
			}
		}
	}
}

// effects counts what was done. Held is as the snapshot had it, plus that.
func (c *counters) effects(t *scheduler.Tick) {
	for i, err := range t.Errors {
		h := t.Plan.Holds[i]
		switch from := t.Plan.From[i]; {
		case err != nil:
			c.HoldFailed++
			continue
		case from < 0:
			c.InPlace++
		default:
			c.Moves[t.Plan.Candidates[from].Level]++
		}
		if t.Snapshot.Threads[h.Thread].Hold < 0 {
			c.Held++
		}
	}
	for _, err := range t.ReleaseErrors {
		if err == nil {
			c.Released++
			c.Held--
		}
	}
}

// queues measures how evenly the CPUs are loaded.
func (c *counters) queues(t *scheduler.Tick) {
	queues := t.Snapshot.Runqueues
	for len(c.Nodes) < len(t.Topology.Nodes) {
		c.Nodes = append(c.Nodes, nodeStat{})
	}
	c.Nodes = c.Nodes[:len(t.Topology.Nodes)]
	low, high := ^uint32(0), uint32(0)
	for i := range t.Topology.Nodes {
		node, n := &t.Topology.Nodes[i], &c.Nodes[i]
		*n = nodeStat{ID: node.ID, Queue: n.Queue[:0], Min: ^uint32(0)}
		for cpu := range node.CPUs.All() {
			if cpu >= len(queues) {
				continue
			}
			q := queues[cpu].NrQueued
			n.CPUs++
			n.Queue = append(n.Queue, q)
			n.Total += q
			n.Min, n.Max = min(n.Min, q), max(n.Max, q)
		}
		if n.CPUs == 0 { // memory only
			n.Min = 0
			continue
		}
		low, high = min(low, n.Min), max(high, n.Max)
	}
	c.Imbalance = max(high, low) - low
	if low > high {
		c.Imbalance = 0
	}
	c.ImbalanceMax = max(c.ImbalanceMax, c.Imbalance)
	if !t.Early {
		c.ImbalanceSum += uint64(c.Imbalance)
		c.ImbalanceN++
	}
}

// read returns a copy that shares nothing.
func (st *stats) read() counters {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.c
	c.Compared = st.agreement.read()
	c.Nodes = slices.Clone(c.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Queue = slices.Clone(c.Nodes[i].Queue)
	}
	return c
}

// imbalanceMean is the mean over the ticks that were due and knew of it. Early
// ones come when there is one.
func (c *counters) imbalanceMean() float64 {
	if c.ImbalanceN == 0 {
		return 0
	}
	return float64(c.ImbalanceSum) / float64(c.ImbalanceN)
}

// refused sums the candidates of all levels that met each reason but Moved.
func (c *counters) refused() (by [scheduler.NumReasons]uint64) {
	for level := range c.Candidates {
		for r, n := range c.Candidates[level] {
			if scheduler.Reason(r) != scheduler.Moved {
				by[r] += n
			}
		}
	}
	return by
}

func total(by [topology.NumLevels]uint64) (n uint64) {
	for _, v := range by {
		n += v
	}
	return n
}

// cpuTime returns the CPU time of mllbd itself so far, without CMD's.
func cpuTime() time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
