// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// invocation is how mllbd was called.
type invocation struct {
	args     []string
	values   map[string]any // of the command's flags
	terminal bool           // mllbd was started on one
	hangups  chan os.Signal // SIGHUP
}

// newInvocation begins to catch SIGHUP for the command that reloads by it: one that
// comes early must not end it.
func newInvocation(args []string) *invocation {
	by := &invocation{args: args, hangups: make(chan os.Signal, 1)}
	if len(args) > 0 && args[0] == "run" {
		by.terminal = hasTerminal()
		notify(by.hangups, []os.Signal{unix.SIGHUP})
	}
	return by
}

// leaveHangups leaves SIGHUP to CMD. One that came already is what it would have
// been: the end.
func (by *invocation) leaveHangups() error {
	signal.Stop(by.hangups)
	select {
	case <-by.hangups:
		return &signalError{unix.SIGHUP}
	default:
		return nil
	}
}

// hangupWait is how long after a SIGHUP the terminal may still be there that went
// away: the kernel, and some shells, send it first (disassociate_ctty(), bash(1), huponexit).
const hangupWait = 300 * time.Millisecond

// obeyHangups has SIGHUP reload, as of a daemon, unless it says that the terminal on which
// mllbd was started went away. CMD gets the signal as well, and with it mllbd only
// reopens --events, as logrotate(8) expects.
func (s *session) obeyHangups(cancel context.CancelFunc) (stop func()) {
	command := len(s.cfg.Command) > 0
	rotates := s.events != nil && s.events.rotates()
	if command && rotates {
		notify(s.by.hangups, []os.Signal{unix.SIGHUP})
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-s.by.hangups:
			case <-done:
				return
			}
			if s.by.terminal && !command {
				time.Sleep(hangupWait)
				if !hasTerminal() {
					cancel()
					s.log.Info("ending", "signal", unix.SIGHUP.String())
					return
				}
			}
			if rotates {
				s.reopenEvents()
			}
			if !command {
				s.reload()
			}
		}
	}()
	return func() {
		signal.Stop(s.by.hangups)
		close(done)
	}
}

// reopenEvents goes on in the file that has the name of --events now.
func (s *session) reopenEvents() {
	if err := s.events.reopen(); err != nil {
		s.log.Error("events go on in the old file", "err", err)
		return
	}
	s.log.Info("events file is reopened", "path", s.events.path)
}
