// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mllb/workload"
)

// workloadCmd is a load for a scheduler to balance.
type workloadCmd struct {
	Kind     string        `arg:"" help:"What the threads do; see below."`
	Threads  int           `required:"" placeholder:"N" help:"How many threads, in all."`
	Procs    int           `default:"1" placeholder:"N" help:"Processes that they are spread over."`
	Seed     uint64        `help:"What each thread does follows from it."`
	Duration time.Duration `default:"0s" help:"End after this time; 0: on SIGINT or SIGTERM."`
	Worker   bool          `hidden:"" help:"Be one of the processes."`
}

// Help documents what flags cannot.
func (workloadCmd) Help() string {
	var b strings.Builder
	b.WriteString("Kinds:\n")
	for _, k := range workload.Kinds() {
		fmt.Fprintf(&b, "  %-8s %s\n", k.Name, k.Help)
	}
	return b.String()
}

// Run keeps the load up.
func (c *workloadCmd) Run(ctx context.Context) error {
	if c.Duration < 0 {
		return usagef("--duration %v: want 0 or more", c.Duration)
	}
	spec := workload.Spec{Kind: c.Kind, Threads: c.Threads, Procs: c.Procs, Seed: c.Seed}
	if err := spec.Validate(); err != nil {
		return usageError{err}
	}
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	if c.Worker {
		return workload.Work(ctx, spec)
	}
	return workload.Run(ctx, spec)
}
