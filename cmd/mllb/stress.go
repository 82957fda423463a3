// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mllb/lab/stress"
)

// stressCmd is a load for a scheduler to balance.
type stressCmd struct {
	Kind     string        `arg:"" help:"What the threads do; see below."`
	Threads  int           `required:"" placeholder:"N" help:"Total number of threads."`
	Procs    int           `default:"1" placeholder:"N" help:"Number of processes to spread them over (${default})."`
	Seed     uint64        `placeholder:"N" help:"Seed of what each thread does."`
	Duration time.Duration `default:"0s" help:"Stop after this time; 0: run until SIGINT or SIGTERM."`
	Worker   bool          `hidden:"" help:"Run as one of the processes."`
}

// Help documents what flags cannot.
func (stressCmd) Help() string {
	var b strings.Builder
	b.WriteString("Keeps CPUs busy until it is stopped. For work that is done once and timed, see mllb workload.\n\nKinds:\n")
	for _, k := range stress.Kinds() {
		fmt.Fprintf(&b, "  %-8s %s\n", k.Name, k.Help)
	}
	return b.String()
}

// Run keeps the load up.
func (c *stressCmd) Run(ctx context.Context, out output) error {
	if c.Duration < 0 {
		return usagef("--duration %v is below 0", c.Duration)
	}
	if now, renamed := stress.Renamed(c.Kind); renamed {
		warnRenamed(out.stderr, "stress "+c.Kind, "stress "+now)
		c.Kind = now
	}
	spec := stress.Spec{Kind: c.Kind, Threads: c.Threads, Procs: c.Procs, Seed: c.Seed}
	if err := spec.Validate(); err != nil {
		return usageError{err}
	}
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	if c.Worker {
		return stress.Work(ctx, spec)
	}
	return stress.Run(ctx, spec)
}
