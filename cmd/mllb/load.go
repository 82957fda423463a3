// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"mllb/bench/load/fixed"
	"mllb/fibo"
)

// loadCmd does a fixed amount of work, for bench to time.
type loadCmd struct {
	Kind    string `arg:"" help:"What is done; see below."`
	Threads int    `placeholder:"N" help:"How many threads. Required but for fibo."`
	Work    int    `required:"" placeholder:"MS" help:"Of each thread, on average: milliseconds of one CPU at about 3 GHz. fibo: how many times."`
	Seed    uint64 `default:"1" help:"What each thread does follows from it."`
	N       int    `default:"16" help:"Which Fibonacci number fibo computes (${default})."`
}

// Help documents what flags cannot.
func (loadCmd) Help() string {
	var b strings.Builder
	b.WriteString("Does the work once, checks that all of it was done, and prints a line.\n\nKinds:\n")
	for _, k := range fixed.Kinds() {
		fmt.Fprintf(&b, "  %-8s %s\n", k.Name, k.Help)
	}
	b.WriteString("  fibo     the Nth Fibonacci number by recursion, where each call spawns two threads\n")
	return b.String()
}

// Run does the work.
func (c *loadCmd) Run(ctx context.Context, out output) error {
	line, err := c.do(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, line)
	return err
}

func (c *loadCmd) do(ctx context.Context) (string, error) {
	if c.Kind == "fibo" {
		if c.Threads != 0 {
			return "", usagef("load fibo: the number of threads follows from --n")
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
