// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that mllbd passes on to CMD instead of obeying
// them. TSTP is among them so that CMD stops first; mllbd follows it.
var forwarded = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1,
	unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP,
}

// child is CMD. Where mllbd has a terminal's foreground, CMD runs in a process
// group of its own that is given it, so that ^C and ^Z reach CMD once, from
// the terminal; elsewhere it stays in mllbd's group, as under env(1).
type child struct {
	pid     int
	tty     int // the controlling terminal, or -1
	signals chan os.Signal
	done    chan struct{}   // closed when CMD has ended
	status  unix.WaitStatus // valid when done is closed
}

// startChild starts CMD. mllbd becomes the reaper of what CMD orphans, so that
// every descendant stays below it (prctl(2), PR_SET_CHILD_SUBREAPER).
func startChild(argv []string) (*child, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, &exitError{execCode(err), fmt.Errorf("run %s: %w", argv[0], errors.Unwrap(err))}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	c := &child{tty: foreground(), signals: make(chan os.Signal, 16), done: make(chan struct{})}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	if c.tty >= 0 {
		attr.Sys = &syscall.SysProcAttr{Foreground: true, Ctty: c.tty}
	}
	notify(c.signals, forwarded)
	if c.pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		signal.Stop(c.signals)
		return nil, &exitError{execCode(err), fmt.Errorf("run %s: %w", argv[0], err)}
	}
	if c.tty >= 0 {
		// From here mllbd is in the terminal's background, where writing to it
		// and taking it back may cost SIGTTOU (tcsetpgrp(3)). Only now, since
		// CMD would inherit that the signal is ignored.
		signal.Ignore(unix.SIGTTOU)
	}
	go c.forward()
	go c.wait()
	return c, nil
}

// notify asks for signals, but for those that whoever started mllbd had it
// ignore: nohup(1) must work, and CMD inherits what is ignored.
func notify(ch chan<- os.Signal, signals []os.Signal) {
	for _, sig := range signals {
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
}

func execCode(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound
	}
	return exitNotExec
}

// foreground returns the descriptor of the terminal whose foreground mllbd
// has, or -1.
func foreground() int {
	for _, fd := range []int{0, 2, 1} {
		if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
			return fd
		}
	}
	return -1
}

func (c *child) forward() {
	for {
		select {
		case sig := <-c.signals:
			target := c.pid
			if sig == unix.SIGCONT && c.tty >= 0 {
				target = -c.pid // all of it was stopped
				if foreground() >= 0 {
					c.takeTerminal(c.pid)
				}
			}
			_ = unix.Kill(target, sig.(unix.Signal)) // ESRCH: it has just ended
		case <-c.done:
			return
		}
	}
}

// wait reaps CMD and its orphans until CMD ends.
func (c *child) wait() {
	defer close(c.done)
	for {
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, unix.WUNTRACED, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // ECHILD: somebody else's bug, but no reason to hang
			return
		case pid == c.pid && st.Stopped():
			c.stopped(st.StopSignal())
		case pid == c.pid && (st.Exited() || st.Signaled()):
			c.status = st
			c.takeTerminal(unix.Getpgrp())
			return
		}
	}
}

// stopped follows CMD into a stop that came from the terminal, so that the
// shell gets its prompt back; fg then continues both.
func (c *child) stopped(sig unix.Signal) {
	if c.tty < 0 && sig != unix.SIGTSTP {
		return
	}
	c.takeTerminal(unix.Getpgrp())
	_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
}

// takeTerminal gives the terminal's foreground to a process group.
func (c *child) takeTerminal(group int) {
	if c.tty >= 0 {
		_ = unix.IoctlSetPointerInt(c.tty, unix.TIOCSPGRP, group) // the terminal may be gone
	}
}

// result is CMD's end as mllbd's own: its exit code, or, if a signal ended it,
// an error that makes exitAs die of the same signal.
func (c *child) result() error {
	switch {
	case c.status.Signaled():
		return &signalError{c.status.Signal()}
	case c.status.ExitStatus() != 0:
		return &exitError{code: c.status.ExitStatus()}
	}
	return nil
}

// signalError says that a signal ended CMD.
type signalError struct{ sig unix.Signal }

func (e *signalError) Error() string { return "command ended by " + e.sig.String() }

// dieOf ends mllbd by a signal, as timeout(1) does, so that a shell that waits
// for it sees what it would have seen of CMD. No core is written. It returns
// 128+N, the shell's own code for that, should the signal not end it.
func dieOf(sig unix.Signal) int {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// The Go runtime has its own handlers, which print stacks for some
	// signals. An all-zero struct sigaction is SIG_DFL on every architecture.
	var act [8]uint64
	runtime.LockOSThread()
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
	// To this very thread: any other may be slow to see it, and the exit faster.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
	return 128 + int(sig)
}
