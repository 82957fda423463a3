// SPDX-License-Identifier: Apache-2.0

// Package speed measures what each CPU is worth while the host works. About once a
// second it does a little work on the CPU and takes the CPU time for it.
//
// There is a thread for each CPU, up to maxThreads; with more CPUs, each goes from one to
// another by sched_setaffinity. To stay costs half as much, but on a thousand CPUs it
// would be a thousand threads. A single one
// would be kept from all CPUs by one that gives it no turn. A thread that gets none is
// taken off that CPU, and the look is lost.
//
// The speed of a CPU is its pace, that is work by CPU time, times the share of the time
// in which it is not away (see worker). For each there is one estimate while its SMT
// siblings are idle, and one while any is busy.
package speed

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"mllb/features"
	"mllb/topology"
)

// fresh is how old a snapshot may be that says what CPUs and their siblings do.
const fresh = 1500 * time.Millisecond

// maxThreads is how many threads look at most.
const maxThreads = 16

// closeWait is how long Close waits for its threads.
const closeWait = 200 * time.Millisecond

// Options say what to look at, and how.
type Options struct {
	Topology *topology.Topology
	MaxCPU   float64 // share of one CPU that mllbd may take, of which this takes a part; 0: no limit
	// Source makes the source of the thread that calls it; nil: the built-in one.
	Source func() (Source, error)
}

// Counts are of looks.
type Counts struct {
	Used      uint64
	Uncertain uint64 // nothing was learned: what the siblings did is not known, say
	Lost      uint64 // no turn in time, or an error
}

// CPU is what is known of one CPU.
type CPU struct {
	CPU    int
	Speed  uint32 // as Runqueue.Speed
	Min    uint32 // of the snapshots so far
	Median uint32
	Alarms uint64 // how often it was found to be about half or twice as fast as before
}

// Canary keeps the speed of each CPU. Its methods may be called by any goroutine.
type Canary struct {
	open func() (Source, error)
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // of all below, and of what it points to
	maxCPU float64
	tracks []*track  // by CPU; nil: it is not looked at
	looked int       // how many are
	worth  []float64 // of Speeds, by CPU
	cores  []topology.CPUSet
	size   int            // of groups, in CPU ids
	groups map[int]*group // by the first of their ids, in sizes
	at     time.Time      // of the last snapshot
	counts Counts
	closed bool
}

// Open begins to look at the CPUs that are balanced.
func Open(opt Options) (*Canary, error) {
	if opt.Source == nil {
		rounds, online := calibrate(), opt.Topology.Online.Count()
		opt.Source = func() (Source, error) { return newWorker(rounds, online) }
	}
	c := &Canary{
		open: opt.Source, maxCPU: opt.MaxCPU, stop: make(chan struct{}),
		size: max(1, (len(opt.Topology.CPUs)+maxThreads-1)/maxThreads), groups: make(map[int]*group),
	}
	if err := c.SetTopology(opt.Topology); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// SetMaxCPU sets Options.MaxCPU.
func (c *Canary) SetMaxCPU(share float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxCPU = share
}

// SetTopology sets which CPUs there are, which are balanced, and which are siblings.
func (c *Canary) SetTopology(t *topology.Topology) error {
	for _, g := range c.follow(t) {
		ready := make(chan error)
		c.done.Add(1)
		go onOwnThread(func() {
			defer c.done.Done()
			c.run(g, c.open, ready)
		})
		if err := <-ready; err != nil {
			return fmt.Errorf("measure the speed of CPUs: %w", err)
		}
	}
	return nil
}

// follow makes a track of each CPU that is balanced, and returns the groups that are
// new.
func (c *Canary) follow(t *topology.Topology) (started []*group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	old := c.tracks
	c.tracks, c.looked, c.cores = make([]*track, len(t.CPUs)), 0, nil
	c.worth = make([]float64, len(t.CPUs))
	for _, g := range c.groups {
		g.tracks = nil
	}
	out := topology.AllLeftOut(t.LeftOut)
	for cpu := range t.Online.All() {
		if out.Has(cpu) {
			continue
		}
		tr := &track{cpu: cpu, random: rand.Float64}
		if cpu < len(old) && old[cpu] != nil {
			tr = old[cpu]
		}
		tr.alone = t.Cores[t.CPUs[cpu].Core].Count() == 1
		c.tracks[cpu] = tr
		c.looked++
		g := c.groups[cpu/c.size]
		if g == nil {
			g = &group{}
			c.groups[cpu/c.size] = g
			started = append(started, g)
		}
		g.tracks = append(g.tracks, tr)
	}
	c.cores = t.Cores
	return started
}

// Speeds writes what each CPU is worth into a snapshot, from which it takes which
// CPUs are busy.
func (c *Canary) Speeds(s *features.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.at = now
	c.see(s)
	for _, g := range c.groups {
		g.late(now)
	}
	fastest := 0.
	for cpu, t := range c.tracks {
		if c.worth[cpu] = 0; t != nil && online(s, cpu) {
			c.worth[cpu] = t.speed(now)
			fastest = max(fastest, c.worth[cpu])
		}
	}
	for cpu, v := range c.worth {
		if v > 0 {
			s.Runqueues[cpu].Speed = scale(v, fastest)
			c.tracks[cpu].history.add(s.Runqueues[cpu].Speed)
		}
	}
}

func online(s *features.Snapshot, cpu int) bool {
	return cpu < len(s.Runqueues) && s.Runqueues[cpu].Online
}

// scale turns a speed into one of 1024 for the fastest. What is nearly as fast counts
// as that: a sample is no more exact.
func scale(speed, fastest float64) uint32 {
	if speed >= fastest*(1-nearly) {
		return features.FullSpeed
	}
	return max(1, uint32(features.FullSpeed*speed/fastest))
}

// see notes which CPUs, and which siblings, are busy.
func (c *Canary) see(s *features.Snapshot) {
	for _, core := range c.cores {
		busy := 0
		for cpu := range core.All() {
			if online(s, cpu) && s.Runqueues[cpu].NrRunning > 0 {
				busy++
			}
		}
		for cpu := range core.All() {
			t := c.tracks[cpu]
			if t == nil {
				continue
			}
			t.busy = online(s, cpu) && s.Runqueues[cpu].NrRunning == 1
			others := busy
			if online(s, cpu) && s.Runqueues[cpu].NrRunning > 0 {
				others--
			}
			t.beside = min(others, 1)
		}
	}
}

// CPUs returns what is known of each CPU that is looked at.
func (c *Canary) CPUs() (cpus []CPU) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tracks {
		if t != nil && t.history.n > 0 {
			h := &t.history
			cpus = append(cpus, CPU{CPU: t.cpu, Speed: h.last, Min: h.min, Median: h.median(), Alarms: t.alarms})
		}
	}
	return cpus
}

// Counts returns how many looks were of use.
func (c *Canary) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Changes returns what CPUs have lost or regained for good since it was last called.
func (c *Canary) Changes() (changes []Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, t := range c.tracks {
		if t == nil {
			continue
		}
		for i := range t.levels {
			if change, ok := t.change(&t.levels[i], now); ok {
				changes = append(changes, change)
			}
		}
	}
	return changes
}

// Close ends the threads. It does not wait long for one that gets no turn.
func (c *Canary) Close() {
	c.mu.Lock()
	if !c.closed {
		close(c.stop)
	}
	c.closed = true
	for _, g := range c.groups {
		if g.source != nil {
			g.source.Stop()
		}
	}
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		c.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeWait):
	}
}
