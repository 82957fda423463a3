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
	"github.com/willabides/kongplete"

	"mllb/fibo"
	"mllb/internal/manual"
	"mllb/internal/version"
)

// cli is the command line.
type cli struct {
	N       int              `arg:"" help:"The Fibonacci number to compute: fib(N) takes 2*fib(N+1)-1 threads, 3,193 for 16."`
	Times   int              `default:"1" placeholder:"K" help:"Number of repetitions, one after the other (${default})."`
	Version kong.VersionFlag `help:"Print the version and exit."`
	Man     manual.Flag      `name:"man-pages" hidden:"" help:"Print the manual pages and exit."`
}

const manualText = `Exit status: 0, or

  1  it failed, or the command line is wrong

Examples:

  fibo 16
  fibo --times 10 12`

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
		kong.Vars{"version": "fibo " + version.Read().String()},
		manual.Texts(map[string]string{"": manualText}),
		kong.Description("Compute a Fibonacci number by recursion where each call spawns two threads and joins them."))
	if err != nil {
		return err
	}
	kongplete.Complete(parser)
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
