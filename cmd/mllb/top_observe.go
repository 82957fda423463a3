// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/screen"
)

// observer is an mllbd of top's own, which only observes.
type observer struct {
	dir    string // of its state
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
}

// observeWithin is how long an observer may take to start.
const observeWithin = 20 * time.Second

// observe starts an mllbd, and attaches to it.
func observe(ctx context.Context) (*source, error) {
	o := &observer{done: make(chan struct{})}
	var err error
	if o.dir, err = os.MkdirTemp("", "mllb-top-"); err != nil {
		return nil, err
	}
	if err := o.start(); err != nil {
		os.RemoveAll(o.dir)
		return nil, fmt.Errorf("start mllbd, to observe: %w", err)
	}
	for late := time.After(observeWithin); ; {
		if conn, err := screen.Dial(o.dir); err == nil {
			return &source{stateDir: o.dir, first: conn, observer: o}, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-o.done:
			err = errors.New(strings.TrimSpace(o.stderr.String()))
		case <-late:
			err = fmt.Errorf("mllbd does not begin within %v", observeWithin)
		case <-ctx.Done():
			err = ctx.Err()
		}
		o.close()
		return nil, err
	}
}

func (o *observer) start() error {
	path, err := daemonPath()
	if err != nil {
		return err
	}
	config := filepath.Join(o.dir, "config") // nothing of the service's
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return err
	}
	o.cmd = exec.Command(path, "run", "--config", config, "--mode", "observe", "--no-compare", "--no-view", "--state-dir", o.dir, "--log-level", "error")
	o.cmd.Stderr = &o.stderr
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM, Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is of the thread that forked (prctl(2))
		err := o.cmd.Start()
		started <- err
		if err == nil {
			_ = o.cmd.Wait()
			close(o.done)
		}
	}()
	return <-started
}

// daemonPath finds the mllbd that is installed beside this program, or else in PATH.
func daemonPath() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "mllbd")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	return exec.LookPath("mllbd")
}

func (o *observer) close() {
	_ = o.cmd.Process.Signal(unix.SIGTERM)
	<-o.done
	os.RemoveAll(o.dir)
}
