// SPDX-License-Identifier: Apache-2.0

// Command mllb inspects machines, records, trains, evaluates and benchmarks.
// Balancing is mllbd's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"mllb/internal/namedfile"
	"mllb/lab"
)

func main() {
	if lab.InGuest() {
		lab.GuestMain()
	}
	stdout := namedfile.NewStdout(os.Stdout)
	ctx, stop := untilEnded(context.Background())
	err := run(ctx, os.Args[1:], stdout, os.Stderr)
	stop()
	os.Exit(exitCode(withOutput(ctx, err, stdout.Err()), os.Stderr))
}

// untilEnded is a context that ends by a signal, or when nobody reads what is printed
// any more: what is under way may have something to undo, as a benchmark has.
func untilEnded(ctx context.Context) (_ context.Context, stop func()) {
	ends := []os.Signal{unix.SIGINT, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) { // as under nohup(1); that a shell's background ignores SIGINT is no wish of anybody's
		ends = append(ends, unix.SIGHUP)
	}
	ctx, stop = signal.NotifyContext(ctx, ends...)
	context.AfterFunc(ctx, stop) // a second signal ends what ignores the first
	if signal.Ignored(unix.SIGPIPE) {
		return ctx, stop
	}
	ctx, cancel := context.WithCancelCause(ctx)
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, unix.SIGPIPE)
	go func() {
		for range pipes {
			if unread(unix.Stdout) || unread(unix.Stderr) { // and not another pipe, such as a guest's
				cancel(errUnread)
			}
		}
	}()
	return ctx, stop
}

// withOutput is how a command ended, its output considered.
func withOutput(ctx context.Context, err, output error) error {
	var usage usageError
	switch {
	case errors.Is(output, unix.EPIPE) || context.Cause(ctx) == errUnread:
		return errUnread
	case output != nil && (err == nil || errors.As(err, &usage)): // it did not look; of --help it makes a wrong usage
		return output
	}
	return err
}

// unread says whether a descriptor is a pipe without a reader (poll(2)).
func unread(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// errUnread ends a command as SIGPIPE would: without a word.
var errUnread = errors.New("nobody reads the output")

// usageError is a mistake of whoever typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode says what went wrong, in one line, and what that is to the shell:
// 2 for a usage error as sh(1) has it, what the error knows of itself, or 1.
func exitCode(err error, stderr io.Writer) int {
	switch err {
	case nil:
		return 0
	case errUnread:
		return 128 + int(unix.SIGPIPE)
	}
	var command *lab.ExitError // which has said itself what is wrong
	if !errors.As(err, &command) {
		fmt.Fprintf(stderr, "mllb: %v\n", err)
	}
	var usage usageError
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &coded):
		return coded.ExitCode()
	}
	return 1
}
