// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/internal/argv"
)

// forwarded are the signals that mllbd passes on to CMD instead of obeying
// them. TSTP is among them so that CMD stops first; mllbd follows it.
var forwarded = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1,
	unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP,
}

// stops are those that a terminal stops processes by: for ^Z, and for reading
// from it or writing to it in the background.
var stops = []unix.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU}

// child is CMD. It stays in mllbd's process group, as under env(1), so that to
// the shell, the terminal and the rest of a pipeline or a script both are one
// job. Only where mllbd is such a job by itself does CMD get a group of its own
// and with it the terminal, so that ^C and ^Z reach CMD alone and mllbd passes
// on whatever else it is sent.
type child struct {
	pid     int
	tty     int // the terminal that was handed to CMD, or -1
	signals chan os.Signal
	done    chan struct{}   // closed when CMD has ended
	status  unix.WaitStatus // valid when done is closed

	// turn is held by whoever passes a signal on, or stops mllbd. A SIGTSTP of which it
	// was found before a stop that it is to be passed on must not be so after it: CMD
	// would stop a second time.
	turn sync.Mutex
}

// startChild starts CMD, as another user if there is one. mllbd becomes the reaper of what CMD orphans, so that
// every descendant stays below it (prctl(2), PR_SET_CHILD_SUBREAPER).
func startChild(command []string, as *account) (*child, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	c := &child{tty: ownTerminal(), signals: make(chan os.Signal, 16), done: make(chan struct{})}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	attr.Sys = new(syscall.SysProcAttr)
	if c.tty >= 0 {
		attr.Sys.Foreground, attr.Sys.Ctty = true, c.tty
	}
	if as != nil {
		runtime.LockOSThread() // capabilities are a thread's own
		defer runtime.UnlockOSThread()
		if err := dropInheritable(); err != nil {
			return nil, err
		}
		attr.Sys.Credential, attr.Env = &as.credential, as.environ()
	}
	notify(c.signals, forwarded)
	var err error
	if c.pid, err = argv.Start(command, attr); err != nil {
		signal.Stop(c.signals)
		return nil, &exitError{argv.ExitCode(err), fmt.Errorf("run %s: %w", command[0], err)}
	}
	// mllbd stops only after CMD. In the background, where it is while CMD has
	// the terminal, writing to that and taking it back would cost SIGTTOU
	// (tcsetpgrp(3)). Only now, since CMD would inherit what is ignored.
	signal.Ignore(unix.SIGTTIN, unix.SIGTTOU)
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

// ownTerminal returns the descriptor of the terminal whose foreground mllbd has
// to itself, or -1. One that does not lead its process group is part of a
// script or stands behind a pipe; one before a pipe has that for its output.
func ownTerminal() int {
	if unix.Getpgrp() != unix.Getpid() || slices.ContainsFunc([]int{0, 1, 2}, isPipe) {
		return -1
	}
	return slices.IndexFunc([]int{0, 1, 2}, func(fd int) bool { return foreground(fd) == unix.Getpgrp() })
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFIFO || st.Mode&unix.S_IFMT == unix.S_IFSOCK)
}

// foreground returns the foreground process group of a terminal, or -1.
func foreground(tty int) int {
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

// typed says whether the terminal sent a signal, to CMD as well, since both are
// in its foreground. Go does not tell (sigaction(2), si_code). So what somebody
// sends to mllbd by kill(1), while it is there and shares its group, may be
// taken for that, as time(1) and system(3) do without asking.
func (c *child) typed(sig os.Signal) bool {
	if c.tty >= 0 || !slices.Contains([]os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH}, sig) {
		return false
	}
	tty, err := openTTY()
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	return foreground(tty) == unix.Getpgrp()
}

// openTTY opens the terminal of mllbd's session, if it has one.
func openTTY() (fd int, err error) {
	return unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

func hasTerminal() bool {
	tty, err := openTTY()
	if err == nil {
		unix.Close(tty)
	}
	return err == nil
}

func (c *child) forward() {
	for {
		select {
		case sig := <-c.signals:
			c.pass(sig)
		case <-c.done:
			return
		}
	}
}

// pass passes a signal on, unless CMD has it already.
func (c *child) pass(sig os.Signal) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.typed(sig) {
		return
	}
	target := c.pid
	if sig == unix.SIGCONT && c.tty >= 0 {
		target = -c.pid // all of it was stopped
		c.handTerminal(unix.Getpgrp(), c.pid)
	}
	_ = unix.Kill(target, sig.(unix.Signal)) // ESRCH: it has just ended
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
			c.handTerminal(c.pid, unix.Getpgrp())
			return
		}
	}
}

// stopped follows CMD into a stop that came from the terminal, so that the
// shell gets its prompt back; fg then continues both.
func (c *child) stopped(sig unix.Signal) {
	if c.tty < 0 && !slices.Contains(stops, sig) {
		return
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	c.handTerminal(c.pid, unix.Getpgrp())
	_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
}

// handTerminal hands the terminal's foreground from one process group to
// another, unless a third has it: the shell, since the job is in the
// background.
func (c *child) handTerminal(from, to int) {
	if c.tty >= 0 && foreground(c.tty) == from {
		_ = unix.IoctlSetPointerInt(c.tty, unix.TIOCSPGRP, to) // the terminal may be gone
	}
}

// result is CMD's end as mllbd's own: its exit code, or, if a signal ended it,
// an error that makes finish die of the same signal.
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
