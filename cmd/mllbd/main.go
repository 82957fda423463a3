// SPDX-License-Identifier: Apache-2.0

// Command mllbd balances the threads of a Linux host over its CPUs with a
// learned policy, and undoes everything it did when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// Exit codes, as sh(1) and timeout(1) have them.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitNotExec  = 126 // CMD was found but could not be run
	exitNotFound = 127 // CMD was not found
)

// exitError ends mllbd with a code of its own. One without err has nothing to
// say: CMD failed, not mllbd.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(program(os.Args[1:], os.Stdout, os.Stderr)) }

// program runs one command line and returns the exit code.
func program(args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("mllbd"),
		kong.Description("Balance the threads of this host with a learned policy, and undo it all at the end."),
		kong.DefaultEnvars("MLLBD"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		defaults)
	if err != nil {
		return finish(stderr, err)
	}
	ctx, err := parser.Parse(args)
	if exited >= 0 { // --help has been served
		return exited
	}
	if err != nil {
		return finish(stderr, &exitError{exitUsage, err})
	}
	return finish(stderr, run(ctx, &c, stdout, stderr))
}

// run executes the command that was parsed.
func run(ctx *kong.Context, c *cli, stdout, stderr io.Writer) error {
	switch ctx.Selected().Name {
	case "check":
		return c.Check.run(stdout)
	case "collect":
		return c.Collect.run(context.Background(), stdout, stderr)
	case "latency":
		return c.Latency.run(context.Background(), stdout, stderr)
	case "restore":
		return c.Restore.run(stdout)
	default:
		return c.Run.run(context.Background(), stdout, stderr)
	}
}

// finish says what went wrong, in one line, and maps it to an exit code.
func finish(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var signaled *signalError
	if errors.As(err, &signaled) {
		return dieOf(signaled.sig)
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{exitFailure, err}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "mllbd: %v\n", err)
	}
	return exit.code
}
