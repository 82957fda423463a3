// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"

	"mllb/scheduler"
	"mllb/topology"
)

// cpuStat is one CPU after the last tick that took a snapshot.
type cpuStat struct {
	Balanced bool // it is online, and not left out
	Queued   uint32
	Held     uint32
}

// queues measures how evenly the CPUs are loaded.
func (c *counters) queues(t *scheduler.Tick) {
	queues, out := t.Snapshot.Runqueues, topology.AllLeftOut(t.Topology.LeftOut)
	c.LeftOut = t.Topology.LeftOut
	for len(c.Nodes) < len(t.Topology.Nodes) {
		c.Nodes = append(c.Nodes, nodeStat{})
	}
	c.Nodes = c.Nodes[:len(t.Topology.Nodes)]
	low, high := ^uint32(0), uint32(0)
	for i := range t.Topology.Nodes {
		node, n := &t.Topology.Nodes[i], &c.Nodes[i]
		*n = nodeStat{ID: node.ID, Queue: n.Queue[:0], Min: ^uint32(0)}
		for cpu := range node.CPUs.All() {
			if cpu >= len(queues) || out.Has(cpu) {
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

// cpus counts by CPU. A host of 1,024 has that many series of each gauge.
func (c *counters) cpus(t *scheduler.Tick) {
	queues, out := t.Snapshot.Runqueues, topology.AllLeftOut(t.Topology.LeftOut)
	for len(c.CPUs) < len(queues) {
		c.CPUs = append(c.CPUs, cpuStat{})
	}
	c.CPUs = c.CPUs[:len(queues)]
	for cpu := range queues {
		q := &queues[cpu]
		c.CPUs[cpu] = cpuStat{Balanced: q.Online && !out.Has(cpu), Queued: q.NrQueued}
	}
	c.held(t)
}

// held counts who is held where, once the tick's plan is carried out.
func (c *counters) held(t *scheduler.Tick) {
	if t.Standby != "" {
		return // all is let go
	}
	s := t.Snapshot
	count := func(cpu int32, n int) {
		if cpu >= 0 && int(cpu) < len(c.CPUs) {
			c.CPUs[cpu].Held += uint32(n)
		}
	}
	for i := range s.Threads {
		if th := &s.Threads[i]; th.Managed { // what is not is let go
			count(th.Hold, 1)
		}
	}
	for i, err := range t.Errors {
		if err == nil {
			h := t.Plan.Holds[i]
			count(s.Threads[h.Thread].Hold, -1)
			count(h.CPU, 1)
		}
	}
	for i, err := range t.ReleaseErrors {
		if err == nil {
			count(s.Threads[t.Plan.Releases[i]].Hold, -1)
		}
	}
}

func eachCPU(value func(c *cpuStat) uint32) func(*counters, emit) {
	return func(c *counters, emit emit) {
		for cpu := range c.CPUs {
			if s := &c.CPUs[cpu]; s.Balanced {
				emit(float64(value(s)), strconv.Itoa(cpu))
			}
		}
	}
}

// The kinds of ticks, of which each has one.
const (
	tickFailed = iota
	tickThrottled
	tickSkipped
	tickStandby
	tickEarly
	tickFull
	numKinds
)

var kinds = [numKinds]string{"failed", "throttled", "skipped", "standby", "early", "full"}

func kindOf(t *scheduler.Tick) int {
	switch {
	case t.Err != nil:
		return tickFailed
	case t.Throttled:
		return tickThrottled
	case t.Skipped:
		return tickSkipped
	case t.Standby != "":
		return tickStandby
	case t.Early:
		return tickEarly
	}
	return tickFull
}
