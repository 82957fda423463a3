// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"fmt"
	"log"
	"time"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// The learned policy and the kernel's own rule judge the same candidate move.
func ExampleNewPolicy() {
	model, err := mlp.Default()
	if err != nil {
		log.Fatal(err)
	}
	d := features.Decision{ // to another core of the same cache, 0.05 ms after it ran
		DstCPU: 1, SameLLC: true, PreferredNode: features.NoNode,
		Idle: features.Idle, Fair: true,
		SrcNrRunning: 2, SrcLen: 2, SrcLoad: 2048,
		Delta: 50_000, MigrationCost: 500_000,
	}
	for _, name := range scheduler.PolicyNames() {
		policy, err := scheduler.NewPolicy(name, model)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%-6s migrate %v\n", name, policy.Decide(&d).Migrate)
	}
	// Output:
	// mlp    migrate false
	// cfs    migrate false
	// always migrate true
	// never  migrate false
}

// One pass over a simulated machine: CPU 0 has four busy threads, the others none.
func ExampleBalancer() {
	machine, err := topology.Parse("1x4x1")
	if err != nil {
		log.Fatal(err)
	}
	host := sim.New(sim.Options{Topology: machine})
	host.Start(4, sim.Spec{CPU: 0})
	balancer := scheduler.NewBalancer(machine, scheduler.Config{Mode: scheduler.Assist}, scheduler.CFS{})
	var snapshot features.Snapshot
	for range 20 { // ticks
		if err := host.Snapshot(&snapshot); err != nil {
			log.Fatal(err)
		}
		if err := host.Sync(&snapshot); err != nil { // which threads are its to hold
			log.Fatal(err)
		}
		plan := balancer.Plan(&snapshot)
		errs := host.Apply(&snapshot, plan.Holds, time.Second)
		balancer.Commit(&snapshot, plan, errs)
		host.Step(100 * time.Millisecond)
	}
	if err := host.Snapshot(&snapshot); err != nil {
		log.Fatal(err)
	}
	for cpu := range snapshot.Runqueues {
		fmt.Println("CPU", cpu, "has", snapshot.Runqueues[cpu].NrRunning)
	}
	// Output:
	// CPU 0 has 1
	// CPU 1 has 1
	// CPU 2 has 1
	// CPU 3 has 1
}
