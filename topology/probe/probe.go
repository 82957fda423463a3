// SPDX-License-Identifier: Apache-2.0

// Package probe measures what CPUs share, instead of asking the kernel, who
// asks firmware or a hypervisor: pairs of CPUs work at the same time, and pass
// a cache line to each other.
//
//	          hand-off     each works beside the other
//	stacked   a time slice a half of what it does alone: they never run at once
//	siblings  least        clearly less than alone
//	others    the farther  as much as alone
//
// It goes from groups to pairs. First each CPU works alone, which is its speed.
// Then random halves of all CPUs work at once, again and again: a CPU that does
// as much there as ever shares no core with any other of its half, so that a
// few dozen such tests leave a few suspects for each CPU. Only these are
// measured pair by pair. At last one CPU of each core passes cache lines to
// representatives, whose latencies tell caches and nodes apart.
//
// What other load disturbs is measured again. What stays doubtful is called
// uncertain, and the kernel's word stands.
package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mllb/topology"
)

// Machine is what a probe measures.
type Machine interface {
	// CPUs are those on which this process may run now.
	CPUs() (topology.CPUSet, error)
	// Work has CPUs work at the same time, each for d.
	Work(ctx context.Context, cpus []int, d time.Duration) ([]Rate, error)
	// Handoff has two CPUs pass a cache line to and fro, for limit at most.
	Handoff(ctx context.Context, a, b int, limit time.Duration) (Handoff, error)
	// Now is the time, for budgets.
	Now() time.Time
}

// Rate is what one CPU did.
type Rate struct {
	PerSecond float64 // units of work; if disturbed, of the time that the CPU was given
	Disturbed bool    // another thread ran on the CPU meanwhile
}

// Handoff is how long a cache line took from one CPU to the other.
type Handoff struct {
	Each      time.Duration
	Disturbed bool
}

// atOnce is what two CPUs that run at the same time need at most for a hand-off.
// Two that take turns need a switch of threads for each.
const atOnce = 20 * time.Microsecond

// GoneError says that a CPU cannot be measured any more.
type GoneError struct{ CPU int }

// Error implements error.
func (e *GoneError) Error() string {
	return fmt.Sprintf("CPU %d went off line, or is not allowed any more: probe again", e.CPU)
}

// Options are those of Run.
type Options struct {
	Told     *topology.Topology // what the kernel says
	Seed     uint64             // of the groups
	Progress func(share float64)
}

// run is one probe.
type run struct {
	Options
	ctx   context.Context
	m     Machine
	rng   *rand.Rand
	cpus  []int
	start time.Time
	end   time.Time // what takes longer is left uncertain
	index map[int]int

	quiet    [][]float64 // by index of cpus: rates alone
	noisy    [][]float64 // those that were disturbed
	alone    []Interval
	excluded [][]uint8 // by index: tests that say that two share no core
	pairs    map[[2]int]*Pair
	doubts   []Doubt
	bar      progress
}

// Run measures the CPUs that this process may use.
func Run(ctx context.Context, m Machine, o Options) (*Profile, error) {
	cpus, err := m.CPUs()
	if err != nil {
		return nil, err
	}
	cpus = cpus.And(o.Told.Online)
	switch cpus.Count() {
	case 0:
		return nil, errors.New("this process may use no CPU that is online")
	case 1:
		return nil, fmt.Errorf("a probe compares CPUs, and this process may use only CPU %v", cpus)
	}
	r := &run{Options: o, ctx: ctx, m: m, rng: rand.New(rand.NewPCG(o.Seed, 15)), pairs: make(map[[2]int]*Pair), index: make(map[int]int)}
	for cpu := range cpus.All() {
		r.index[cpu] = len(r.cpus)
		r.cpus = append(r.cpus, cpu)
	}
	r.quiet, r.noisy, r.alone = make([][]float64, len(r.cpus)), make([][]float64, len(r.cpus)), make([]Interval, len(r.cpus))
	r.start = m.Now()
	r.end = r.start.Add(disturbedFor * budget(len(r.cpus)))
	r.plan()
	p, err := r.measure()
	if err != nil {
		return nil, err
	}
	now, err := m.CPUs()
	if err != nil {
		return nil, err
	}
	if now = now.And(o.Told.Online); !now.Equal(cpus) {
		return nil, fmt.Errorf("CPUs came or went during the probe: {%v} were allowed, now {%v}: probe again", cpus, now)
	}
	return p, nil
}

func (r *run) measure() (*Profile, error) {
	if err := r.speeds(aloneRounds); err != nil {
		return nil, err
	}
	suspects, err := r.suspects()
	if err != nil {
		return nil, err
	}
	if err := r.judge(suspects); err != nil {
		return nil, err
	}
	r.bar.enter(stageAgain)
	if err := r.speeds(lateRounds); err != nil {
		return nil, err
	}
	r.doubtSpeeds()
	p := r.profile()
	if err := r.caches(p); err != nil {
		return nil, err
	}
	p.Doubts = append(p.Doubts, r.doubts...)
	r.addPairs(p)
	r.bar.enter(stages)
	return p, nil
}

// budget is how long a probe may take: 5 s at 64 CPUs, 30 s at 512.
func budget(cpus int) time.Duration {
	return 5*time.Second + time.Duration(max(cpus-64, 0))*25*time.Second/448
}

// disturbedFor is for how many times the budget to measure again what others
// disturb.
const disturbedFor = 3

// How long a CPU works alone, and how often; and beside others.
const (
	aloneTime   = 4 * time.Millisecond
	aloneRounds = 3
	lateRounds  = 2 // at the end again: what disturbed the first may be gone
	groupTime   = 8 * time.Millisecond
)

// speeds measures each CPU alone, in rounds over all, so that what disturbs for
// a while disturbs one round.
func (r *run) speeds(rounds int) error {
	for round := range rounds {
		for i, cpu := range r.cpus {
			got, err := r.m.Work(r.ctx, []int{cpu}, aloneTime)
			if err != nil {
				return err
			}
			r.noteAlone(i, got[0])
			r.bar.step(float64(round*len(r.cpus)+i) / float64(rounds*len(r.cpus)))
		}
	}
	for i, rates := range r.quiet {
		if len(rates) < aloneRounds-1 {
			rates = slices.Concat(rates, r.noisy[i])
		}
		r.alone[i] = interval(rates)
	}
	return nil
}

// noteAlone keeps what a CPU did while no other worked.
func (r *run) noteAlone(i int, rate Rate) {
	if rate.Disturbed {
		r.noisy[i] = append(r.noisy[i], rate.PerSecond)
	} else {
		r.quiet[i] = append(r.quiet[i], rate.PerSecond)
	}
}

// steady is how wide the interval of a speed may be, as a share of the speed.
const steady = 0.3

// doubtSpeeds notes the CPUs that were disturbed, or whose speed is not one
// number: a limit by a host lets a CPU run at full speed, and then not at all.
func (r *run) doubtSpeeds() {
	for i, a := range r.alone {
		if len(r.quiet[i]) < aloneRounds-1 || a.High-a.Low > steady*a.Median {
			r.doubt(topology.NewCPUSet(r.cpus[i]), "speed")
		}
	}
}

// doubt notes what could not be told of CPUs.
func (r *run) doubt(cpus topology.CPUSet, what string) {
	r.doubts = append(r.doubts, Doubt{CPUs: cpus, What: what})
}
