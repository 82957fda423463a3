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
	"slices"
	"time"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
	"golang.org/x/sys/unix"

	"mllb/internal/argv"
	"mllb/internal/manual"
	"mllb/internal/namedfile"
	"mllb/internal/version"
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
	by := newInvocation(args)
	errs := newQueue(stderr, queueLimit)
	if len(args) > 0 && moved[args[0]] {
		return finish(errs, runMoved(args))
	}
	var c cli
	ctx, err := c.parse(args, stdout, stderr)
	if ctx == nil || err != nil {
		return finish(errs, err)
	}
	return finish(errs, run(ctx, &c, stdout, errs, by))
}

// parse parses a command line, with the environment and the configuration. ctx is
// nil if it only asked for help.
func (c *cli) parse(args []string, stdout, stderr io.Writer) (ctx *kong.Context, err error) {
	help := namedfile.NewStdout(stdout)
	served := false
	var config configuration
	parser, err := kong.New(c,
		kong.Name("mllbd"),
		kong.Description("Balance the threads of this host with a learned policy, and undo it all at the end."),
		kong.DefaultEnvars("MLLBD"),
		kong.Resolvers(&config),
		argv.NoneEmpty(),
		kong.Writers(help, stderr),
		argv.Options(),
		kong.Exit(func(int) { served = true }), // --help, --version, --man-pages or a completion
		manual.Texts(manualTexts),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		defaults)
	if err != nil {
		return nil, err
	}
	kongplete.Complete(parser)
	if served {
		return nil, help.Err()
	}
	ctx, err = parser.Parse(argv.Help(args))
	if served || help.Err() != nil {
		return nil, help.Err()
	}
	switch {
	case config.err == nil:
	case err == nil && ctx.Selected().Name == "restore":
		c.Restore.ConfigErr = config.err // it must work whatever else is wrong
	default:
		err = config.err
	}
	if err != nil {
		return nil, &exitError{c.Run.exitCode(exitUsage, args), config.explain(err)}
	}
	return ctx, nil
}

// exitCode is the code of a failure of mllbd itself: without a CMD, the one
// given. What could not be parsed has a CMD if it has a "--".
func (c *runCmd) exitCode(code int, args []string) int {
	if len(c.Command) > 0 || len(args) > 0 && args[0] == "run" && slices.Contains(args, "--") {
		return exitInternal
	}
	return code
}

// run executes the command that was parsed.
func run(ctx *kong.Context, c *cli, stdout, stderr io.Writer, by *invocation) error {
	switch ctx.Selected().Name {
	case "check":
		return c.Check.run(stdout)
	case "version":
		_, err := fmt.Fprintln(stdout, "mllbd", version.Read())
		return err
	case "restore":
		out := namedfile.NewStdout(stdout)
		if err := c.Restore.run(out); err != nil {
			return c.Restore.stateHint(err)
		}
		return out.Err() // once all is undone
	default:
		by.values = flagValues(ctx)
		err := c.Run.run(context.Background(), stdout, stderr, by)
		var exit *exitError
		var signaled *signalError
		if err == nil || errors.As(err, &exit) || errors.As(err, &signaled) {
			return err
		}
		return &exitError{c.Run.exitCode(exitFailure, nil), err}
	}
}

// finish says what went wrong, in one line, and maps it to an exit code. It waits
// for who reads stderr, for a while.
func finish(stderr *queue, err error) int {
	var signaled *signalError
	if errors.As(err, &signaled) {
		_ = stderr.close(time.Now().Add(endWait))
		return dieOf(signaled.sig)
	}
	exit := &exitError{exitFailure, err}
	if err == nil {
		exit.code = exitOK
	}
	errors.As(err, &exit)
	if exit.err != nil {
		fmt.Fprintf(stderr, "mllbd: %v\n", err)
	}
	_ = stderr.close(time.Now().Add(endWait))
	return exit.code
}

// keepPipes has writes to a pipe without a reader fail, also those to stdout and
// stderr, of which SIGPIPE would end mllbd before it has undone what it did. CMD
// still gets its default of it, since a signal that is caught, unlike one that is
// ignored, is reset by execve(2).
func keepPipes() { notify(make(chan os.Signal, 1), []os.Signal{unix.SIGPIPE}) }
