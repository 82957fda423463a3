// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// run is one simulated host under one load, and one group of rows.
type run struct {
	id       int32
	topology string
	load     int // busy threads per CPU, percent
	numa     bool
	seed     uint64
}

// hosts that are learned from, and hosts of other shapes that only judge.
var (
	learned = []string{"1x2x1", "1x4x2", "2x4x1", "2x4x2", "2x14x2", "4x2x2"}
	unseen  = []string{"1x6x2", "2x8x2", "8x4x2"}
	loads   = []int{50, 100, 200}
)

// runs lists every host at every load, without and with NUMA balancing.
func runs(topologies []string, from int32, seed uint64) (list []run) {
	for _, t := range topologies {
		for _, load := range loads {
			for _, numa := range []bool{false, true} {
				id := from + int32(len(list))
				list = append(list, run{id, t, load, numa, seed + uint64(id)})
			}
		}
	}
	return list
}

// recorder is the cfs policy that writes down what it was asked and answered:
// each question as it came, and then variants of it.
type recorder struct {
	run      *run
	vary     varier
	variants int
	limit    int       // questions recorded per run
	asked    *mlp.Data // as the simulated hosts put them
	varied   *mlp.Data
	left     int
}

func (r *recorder) Name() string { return "cfs" }

func (r *recorder) Decide(d *features.Decision) scheduler.Verdict {
	verdict := scheduler.CFS{}.Decide(d)
	if r.left == 0 {
		return verdict
	}
	r.left--
	r.asked.Append(d, label(verdict), r.run.id)
	for range r.variants {
		variant := *d
		r.vary.vary(&variant)
		r.varied.Append(&variant, label(scheduler.CFS{}.Decide(&variant)), r.run.id)
	}
	return verdict
}

func label(v scheduler.Verdict) uint8 {
	if v.Migrate {
		return mlp.Migrate
	}
	return mlp.Stay
}

// record balances a simulated host as the daemon does for the given ticks, and
// appends what the policy was asked.
func (r *recorder) record(ctx context.Context, run *run, ticks int) error {
	topo, err := topology.Parse(run.topology)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(run.seed, 2))
	r.run, r.left, r.vary.rng, r.vary.nodes = run, r.limit, rng, int32(len(topo.Nodes))
	host := sim.New(sim.Options{Topology: topo, Seed: run.seed, NUMABalancing: run.numa, MigrationCost: 500 * time.Microsecond})
	balancer := scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, r)
	cpus := topo.Online.Count()
	start(host, rng, cpus*run.load/100)
	var s features.Snapshot
	for tick := range ticks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if tick%3 == 0 {
			start(host, rng, max(1, cpus*run.load/800)) // so that the load never comes to rest
		}
		host.Step(100 * time.Millisecond)
		if err := balance(host, balancer, &s); err != nil {
			return fmt.Errorf("host %s: %w", run.topology, err)
		}
	}
	return nil
}

func balance(host *sim.Host, b *scheduler.Balancer, s *features.Snapshot) error {
	if err := host.Snapshot(s); err != nil {
		return err
	}
	if err := host.Sync(s); err != nil {
		return err
	}
	plan := b.Plan(s)
	errs := host.Apply(s, plan.Holds, 0)
	host.Release(s, plan.Releases)
	b.Commit(s, plan, errs)
	return host.Check()
}

// start starts processes of one to four threads, each process on a CPU drawn
// without looking at how busy it is: mostly busy threads, some that sleep half
// the time, of several niceness, for a few seconds of CPU time.
func start(host *sim.Host, rng *rand.Rand, threads int) {
	t := host.Topology()
	for threads > 0 {
		n := min(threads, 1+rng.IntN(4))
		threads -= n
		spec := sim.Spec{
			Comm: "load", CPU: rng.IntN(len(t.CPUs)), Run: time.Second, Life: time.Duration(2+rng.IntN(4)) * time.Second,
			Nice: [...]int8{0, 0, 0, 0, -20, -5, 5, 19}[rng.IntN(8)],
			Home: int32(rng.IntN(len(t.Nodes)+1)) - 1, Grouped: rng.IntN(2) == 0,
		}
		if rng.IntN(3) == 0 {
			spec.Run, spec.Sleep = 50*time.Millisecond, 50*time.Millisecond
		}
		host.Start(n, spec)
	}
}
