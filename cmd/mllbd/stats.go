// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features/speed"
	"mllb/scheduler"
	"mllb/scx"
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

// perLevel counts by the level of the domain.
type perLevel [topology.NumLevels]uint64

// counters is what mllbd knows of itself: totals since the start, and gauges of
// the last tick that succeeded. Each is shown by a row of the table in counter.go.
type counters struct {
	Ticks     uint64
	Failed    uint64
	Dropped   uint64        // by the loop, because the one before took too long
	Skipped   uint64        // the host was as the last one left it
	Throttled uint64        // left out to stay below --max-cpu
	Standby   uint64        // beside another scheduler: nothing was changed
	Other     string        // that scheduler, at the last tick
	Early     uint64        // that were not due: a CPU was idle while threads waited
	Took      time.Duration // of all ticks together
	Kinds     [numKinds]uint64

	Candidates        [topology.NumLevels][scheduler.NumReasons]uint64
	Asked             perLevel
	Approved          perLevel
	OutOfDistribution uint64   // of those asked: policy cfs answered for the model
	Moves             perLevel // that took effect
	Undone            uint64   // of these: by the kernel, soon
	HoldFailed        uint64   // holds that failed
	InPlace           uint64   // threads held where they were
	Released          uint64
	ReleaseFailed     uint64 // that stay held

	Imbalance    uint32 // longest minus shortest cfs queue
	ImbalanceMax uint32
	ImbalanceSum uint64
	ImbalanceN   uint64 // ticks that were due and knew of it, of which that is the sum
	Threads      int
	Whole        uint64   // ticks whose snapshot had all threads
	Unread       uint64   // threads left out of snapshots so far: their files make no sense
	Troubles     []string // why little or nothing happens, in the order in which it was noticed
	Managed      int
	Held         int
	CgroupsGone  int // that flags name, and that are not there now
	Nodes        []nodeStat
	CPUs         []cpuStat          // by CPU
	LeftOut      []topology.LeftOut // CPUs that nobody balances

	Kernel        *scx.Counters // what the sched_ext scheduler counted; nil without one
	Rule          *compared     // with the answers of policy cfs to what it sampled; nil where it is not asked
	SchedExtExits uint64        // how often the kernel ended it

	Speeds      []speed.CPU        // of the CPUs that are measured
	Looks       *speed.Counts      // at them; nil where none is
	Compared    *compared          // with the kernel's own decisions; nil where they are not
	WriteErrors *uint64            // of the --events file; nil without one
	Lost        [numOutputs]uint64 // records that an output's queue had no room for

	Read    time.Time // start of the last tick that took a snapshot
	Last    time.Time // start of the last tick that succeeded
	LastErr string    // of the last tick, "" if it succeeded

	stateDir string // as in stats
}

// The outputs that drop what nobody reads.
const (
	toEvents = iota
	toLog
	toView
	numOutputs
)

var outputNames = [numOutputs]string{"events", "log", "view"}

// stats collects counters from the daemon's ticks. Anybody may read them.
type stats struct {
	start time.Time
	cpu   time.Duration // spent before start, on getting ready

	agreement *agreement         // nil where there is none
	canary    *speed.Canary      // likewise
	outputs   [numOutputs]*queue // nil where there is none
	cgroups   *cgroupTrees       // that flags name; nil where they name none
	undone    undone
	stateDir  string // in which a killed mllbd may have left a journal; "" where this one sees to that

	mu sync.Mutex
	c  counters
}

// Tick counts one tick. Once warm it allocates nothing.
func (st *stats) Tick(t *scheduler.Tick) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := &st.c
	c.Ticks += 1 + t.LeftOut
	c.Throttled += t.LeftOut
	c.Dropped += t.Dropped
	if t.Early {
		c.Early++
	}
	c.Took += t.Took
	c.Kinds[kindOf(t)]++
	c.Kinds[tickThrottled] += t.LeftOut
	if c.Other = t.Standby; c.Other != "" {
		c.Standby++
	}
	if t.Err != nil {
		c.Failed++
		c.LastErr = t.Err.Error()
		return
	}
	c.Last, c.LastErr = t.Start, ""
	if t.Throttled {
		c.Throttled++
		return
	}
	if t.Skipped { // the gauges hold, and count once more in the mean
		c.Skipped++
		c.ImbalanceSum += uint64(c.Imbalance)
		c.ImbalanceN++
		return
	}
	c.Read = t.Start
	c.threads(t)
	c.candidates(t.Plan)
	c.effects(t)
	c.Undone += st.undone.tick(t)
	c.queues(t)
	c.cpus(t)
}

func (c *counters) threads(t *scheduler.Tick) {
	c.Threads, c.Managed, c.Held = len(t.Snapshot.Threads), 0, t.Held
	if !t.Snapshot.Partial {
		c.Whole++
	}
	for i := range t.Snapshot.Threads {
		if t.Snapshot.Threads[i].Managed {
			c.Managed++
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
			if cand.Verdict.OutOfDistribution {
				c.OutOfDistribution++
			}
		}
	}
}

// effects counts what was done.
func (c *counters) effects(t *scheduler.Tick) {
	for _, err := range t.Errors {
		if err != nil {
			c.HoldFailed++
			continue
		}
		c.InPlace++
	}
	for i := range t.Plan.Candidates {
		if cand := &t.Plan.Candidates[i]; t.Moved(cand) {
			c.Moves[cand.Level]++
			c.InPlace-- // it was moved
		}
	}
	for _, err := range t.ReleaseErrors {
		if err == nil {
			c.Released++
		} else {
			c.ReleaseFailed++
		}
	}
}

// read returns a copy that shares nothing.
func (st *stats) read() counters {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.c
	c.stateDir = st.stateDir
	if c.Read.IsZero() {
		c.Read = st.start
	}
	c.Compared = st.agreement.read()
	if st.canary != nil {
		looks := st.canary.Counts()
		c.Speeds, c.Looks = st.canary.CPUs(), &looks
	}
	for i, q := range st.outputs {
		if q != nil {
			c.Lost[i] = q.dropped.Load()
		}
	}
	if st.cgroups != nil {
		c.CgroupsGone = int(st.cgroups.gone.Load())
	}
	if q := st.outputs[toEvents]; q != nil {
		n := q.failed.Load()
		c.WriteErrors = &n
	}
	if c.Rule != nil {
		rule := *c.Rule
		c.Rule = &rule
	}
	c.Nodes = slices.Clone(c.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Queue = slices.Clone(c.Nodes[i].Queue)
	}
	c.CPUs = slices.Clone(c.CPUs)
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

// cpuTime returns the CPU time of mllbd itself so far, without CMD's.
func cpuTime() time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
