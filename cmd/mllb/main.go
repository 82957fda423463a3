// SPDX-License-Identifier: Apache-2.0

// Command mllb is everything of mllb that needs no privilege. Balancing itself
// is mllbd's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"mllb/lab"
)

func main() {
	if lab.InGuest() {
		lab.GuestMain()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what ignores the first
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// usageError is a mistake of whoever typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode says what went wrong, in one line, and what that is to the shell:
// 2 for a usage error as sh(1) has it, what the error knows of itself, or 1.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
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
