// SPDX-License-Identifier: Apache-2.0

// Command fibo computes a Fibonacci number by recursion where each call spawns
// two threads and joins them: the thread storm of the paper.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"mllb/fibo"
)

// cli is the command line.
type cli struct {
	N     int `arg:"" help:"Which number: fib(N) takes twice fib(N+1) threads, less one. 16 takes 3,193."`
	Times int `default:"1" placeholder:"K" help:"Do it so many times, one after the other (${default})."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fibo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var c cli
	parser, err := kong.New(&c, kong.Name("fibo"), kong.Writers(stdout, os.Stderr),
		kong.Description("Compute a Fibonacci number by recursion where each call spawns two threads and joins them."))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	r, err := fibo.Repeat(ctx, c.N, c.Times)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, r)
	return err
}
