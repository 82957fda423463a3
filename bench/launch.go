// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/argv"
)

// The launcher is a process of mllb between the benchmark and a command:
//
//	bench ── mllbd ── launcher ── command     an arm with mllbd
//	bench ─────────── launcher ── command     stock
//
// It measures the command alone, the same way in every arm, and is where the tree of
// the command hangs together: orphans become its children. Both ends of its
// socket notice when the other one dies. A launcher without a benchmark ends the
// command and all of its descendants.
//
//	launcher: {"pid": 7}            it is there; the command is not
//	bench:    "go\n"                start it
//	launcher: {"usage": {...}}      it has ended; or {"error": "..."}
//	bench:    closes                end, whatever is going on

// message is a line from the launcher.
type message struct {
	PID   int    `json:"pid,omitempty"`
	Usage *Usage `json:"usage,omitempty"`
	Error string `json:"error,omitempty"`
}

// Launch is the launcher. It returns when the command has ended and the benchmark
// has closed the socket. With tree the command is its whole tree: one that
// goes to the background has not ended.
func Launch(ctx context.Context, socket string, argv []string, tree bool, grace time.Duration) error {
	// The death of a thread is that of the parent, for Pdeathsig (prctl(2)).
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the subreaper of orphans: %w", err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	l := &launcher{out: json.NewEncoder(conn), in: make(chan struct{}), grace: grace, tree: tree}
	if err := l.out.Encode(message{PID: os.Getpid()}); err != nil {
		return err
	}
	go l.listen(conn)
	select {
	case _, ok := <-l.in:
		if !ok {
			return nil // called off
		}
	case <-ctx.Done():
		return nil
	}
	err = l.run(ctx, argv)
	if err != nil {
		err = errors.Join(err, l.out.Encode(message{Error: err.Error()}))
	}
	for range l.in { // until bench has taken its samples
	}
	return err
}

type launcher struct {
	out   *json.Encoder
	in    chan struct{} // "go", then closed with the socket
	tree  bool
	grace time.Duration // between SIGINT, SIGTERM and SIGKILL
}

func (l *launcher) listen(conn net.Conn) {
	defer close(l.in)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		l.in <- struct{}{}
	}
}

// run starts the command, waits for it, and sees that none of its descendants
// are left.
func (l *launcher) run(ctx context.Context, command []string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{null.Fd(), 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}}
	start := time.Now()
	pid, err := argv.Start(command, attr)
	if err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go l.stop(ctx, ended)
	u := Usage{}
	var all syscall.Rusage
	for {
		var status unix.WaitStatus
		var ru unix.Rusage
		got, err := unix.Wait4(-1, &status, 0, &ru)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // ECHILD: the whole tree has ended
			if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &all); err != nil {
				return err
			}
			if l.tree {
				u.Wall = time.Since(start).Seconds()
				u.User, u.System = seconds(all.Utime.Nano()), seconds(all.Stime.Nano())
			}
			return l.out.Encode(message{Usage: &u})
		case got == pid:
			u.Wall = time.Since(start).Seconds()
			u.User, u.System = seconds(ru.Utime.Nano()), seconds(ru.Stime.Nano())
			u.MaxRSS, u.Status = ru.Maxrss<<10, shellStatus(status)
			if !l.tree {
				u.Orphan = l.orphans()
			}
		}
	}
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

// shellStatus is how a command ended, as a shell has it.
func shellStatus(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// stop ends the command once the benchmark is gone or wants it to: SIGINT, SIGTERM
// and SIGKILL to the whole tree, with time between them.
func (l *launcher) stop(ctx context.Context, ended <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for range l.in {
		}
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	case <-ended:
		return
	}
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		signalAll(descendants(os.Getpid()), sig)
		select {
		case <-time.After(l.grace):
		case <-ended:
			return
		}
	}
	for { // until none is left: they may be forking
		killTree()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ended:
			return
		}
	}
}

// orphans kills what outlives the command, and says how many they were. Those that are
// about to end, as they do whom the kernel tells of their parent's death, are none.
func (l *launcher) orphans() int {
	for range 10 {
		if len(descendants(os.Getpid())) == 0 {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return killTree()
}

// killTree kills what is below this process and says how many there were.
func killTree() int {
	pids := descendants(os.Getpid())
	signalAll(pids, unix.SIGKILL)
	return len(pids)
}
