// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConsole(t *testing.T) {
	tests := []struct {
		log    string
		worst  severity
		cause  string
		warns  int
		stalls int
	}{
		{log: "fine"},
		{log: "int3-6.12", worst: oopsed, cause: "Oops: int3: 0000 [#1]"},
		{log: "int3-6.1", worst: oopsed, cause: "int3: 0000 [#1]"},
		{log: "null", worst: oopsed, cause: "BUG: kernel NULL pointer"},
		{log: "bug-at", worst: oopsed, cause: "kernel BUG at"},
		{log: "gpf", worst: oopsed, cause: "general protection fault"},
		{log: "atomic", worst: oopsed, cause: "BUG: scheduling while atomic"},
		{log: "init", worst: panicked, cause: "Attempted to kill init"},
		{log: "noinit", worst: panicked, cause: "Requested init"},
		{log: "softlockup", stalls: 1},
		{log: "hungtask", stalls: 1},
		{log: "rcu", stalls: 1},
		{log: "warning", warns: 1},
	}
	for _, tt := range tests {
		t.Run(tt.log, func(t *testing.T) {
			b, err := os.ReadFile("testdata/console/" + tt.log + ".log")
			if err != nil {
				t.Fatal(err)
			}
			// The console comes in pieces of any size, with the terminal's line ends.
			var copied bytes.Buffer
			c := newConsole(&copied)
			crlf := bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
			for i := range crlf {
				if _, err := c.Write(crlf[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
			got := c.report()
			if got.Worst != tt.worst || !strings.Contains(got.Cause, tt.cause) || (got.Cause == "") != (tt.cause == "") {
				t.Errorf("worst %d, cause %q; want %d, %q", got.Worst, got.Cause, tt.worst, tt.cause)
			}
			if len(got.Warnings) != tt.warns || len(got.Stalls) != tt.stalls {
				t.Errorf("%d warnings, %d stalls; want %d, %d", len(got.Warnings), len(got.Stalls), tt.warns, tt.stalls)
			}
			if !bytes.Equal(copied.Bytes(), crlf) {
				t.Error("the copy differs")
			}
			select {
			case <-c.dead:
				if tt.worst < oopsed {
					t.Error("declared dead")
				}
			default:
				if tt.worst >= oopsed {
					t.Error("not declared dead")
				}
			}
		})
	}
}

func TestConsoleHostile(t *testing.T) {
	c := newConsole(nil)
	long := strings.Repeat("x", 1<<20)
	for range 3 {
		if _, err := c.Write([]byte(long)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte("\nred \x1b[31m\x00\xff end\n")); err != nil {
		t.Fatal(err)
	}
	got := c.report().Tail
	if len(got) != 2 || len(got[0]) != consoleLine {
		t.Fatalf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
	if diff := cmp.Diff("red [31m end", got[1]); diff != "" {
		t.Errorf("control bytes (-want +got):\n%s", diff)
	}
}

func TestGuestErrors(t *testing.T) {
	for _, tt := range []struct {
		reason error
		code   int
	}{
		{ErrOops, ExitGuestDied}, {ErrPanic, ExitGuestDied}, {ErrHung, ExitGuestDied}, {ErrLost, ExitGuestDied},
		{ErrTimeLimit, ExitTimeLimit},
	} {
		err := error(&GuestError{Reason: tt.reason, Phase: "at boot", Detail: "int3", Tries: 3})
		var died *GuestError
		if !errors.Is(err, tt.reason) || !errors.As(err, &died) || died.ExitCode() != tt.code {
			t.Errorf("%v: exit status %d, want %d", err, died.ExitCode(), tt.code)
		}
		if want := tt.reason.Error() + " at boot, in the last of 3 tries: int3"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}
