// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"mllb/bench/workload/fixed"
	"mllb/fibo"
)

// workloadCmd does a fixed amount of work, for bench to time.
type workloadCmd struct {
	Kind    string `arg:"" help:"What to do; see below."`
	Threads int    `placeholder:"N" help:"Number of threads. Required except for fibo."`
	Work    int    `required:"" placeholder:"MS" help:"Work of each thread, on average, in milliseconds of one CPU at about 3 GHz; for fibo, the number of repetitions."`
	Seed    uint64 `default:"1" help:"Seed of what each thread does."`
	N       int    `default:"16" help:"The Fibonacci number that fibo computes (${default})."`
}

// Help documents what flags cannot.
func (workloadCmd) Help() string {
	var b strings.Builder
	b.WriteString("Does the work once, verifies that all of it was done, and prints one line. mllb bench times it. For\nendless load, see mllb stress.\n\nKinds:\n")
	for _, k := range fixed.Kinds() {
		fmt.Fprintf(&b, "  %-8s %s\n", k.Name, k.Help)
	}
	b.WriteString("  fibo     the Nth Fibonacci number by recursion, where each call spawns two threads\n")
	return b.String()
}

// Run does the work.
func (c *workloadCmd) Run(ctx context.Context, out output) error {
	line, err := c.do(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, line)
	return err
}

func (c *workloadCmd) do(ctx context.Context) (string, error) {
	if c.Kind == "fibo" {
		if c.Threads != 0 {
			return "", usagef("workload fibo: the number of threads follows from --n")
		}
		r, err := fibo.Repeat(ctx, c.N, c.Work)
		return r.String(), err
	}
	s := fixed.Spec{Kind: c.Kind, Threads: c.Threads, Work: c.Work, Seed: c.Seed}
	if err := s.Validate(); err != nil {
		return "", usageError{err}
	}
	sum, err := fixed.Run(ctx, s)
	return s.Line(sum), err
}
