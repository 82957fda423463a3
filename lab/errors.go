// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"strings"
)

// Why a lab run gave no answer.
var (
	ErrNoQEMU    = errors.New("no QEMU")
	ErrNoKernel  = errors.New("no kernel")
	ErrOops      = errors.New("the guest's kernel oopsed")
	ErrPanic     = errors.New("the guest's kernel panicked")
	ErrHung      = errors.New("the guest hung")
	ErrLost      = errors.New("the guest ended without reporting a result")
	ErrTimeLimit = errors.New("the time limit expired")
)

// Exit statuses of `mllb lab run` that are not the command's. They follow
// timeout(1) and chroot(1): 124 time limit, 125 the tool itself failed, and
// what argv.ExitCode says; 123 is ours.
const (
	ExitGuestDied = 123 // oops, panic or hang, in every try
	ExitTimeLimit = 124
	ExitLabFailed = 125
)

// ExitError is a command that ran and failed.
type ExitError struct {
	Status int // 1 to 255; 128 + signal if a signal ended it
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// ExitCode is the command's own status.
func (e *ExitError) ExitCode() int { return e.Status }

// GuestError is a guest that died or gave no answer.
type GuestError struct {
	Reason  error    // one of the sentinels above
	Phase   string   // "at boot" or "while the command ran"
	Detail  string   // the console's line, or what was waited for
	Console []string // the last lines of the kernel's console
	Tries   int      // guests started
}

func (e *GuestError) Error() string {
	s := fmt.Sprintf("%v %s", e.Reason, e.Phase)
	if e.Tries > 1 {
		s += fmt.Sprintf(", in the last of %d tries", e.Tries)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *GuestError) Unwrap() error { return e.Reason }

// ExitCode tells a dead guest and a time limit apart.
func (e *GuestError) ExitCode() int {
	if errors.Is(e.Reason, ErrTimeLimit) {
		return ExitTimeLimit
	}
	return ExitGuestDied
}

// ConsoleTail is the end of the kernel's console, a line each, indented.
func (e *GuestError) ConsoleTail() string {
	return "    " + strings.Join(e.Console, "\n    ")
}
