// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"mllb/features"
)

// faultyHost is a host that cannot be read any more once a file is there.
type faultyHost struct {
	host
	gate, kind string
}

func (h *faultyHost) Snapshot(s *features.Snapshot) error {
	if _, err := os.Stat(h.gate); err != nil {
		return h.host.Snapshot(s)
	}
	switch h.kind {
	case "panics":
		panic("the host panics")
	case "hangs":
		select {}
	}
	return errors.New("the host fails")
}

// faulty KIND GATE run ...: mllbd on a host that fails, panics or hangs, once the file
// GATE is there.
func faulty() {
	var c cli
	if _, err := kong.Must(&c, defaults).Parse(os.Args[3:]); err != nil {
		os.Exit(finish(newQueue(os.Stderr, queueLimit), err))
	}
	os.Exit(finish(newQueue(os.Stderr, queueLimit), c.Run.runOn(func(h host) host {
		return &faultyHost{host: h, gate: os.Args[2], kind: os.Args[1]}
	})))
}

// runOn is run on another host.
func (c *runCmd) runOn(other func(host) host) error {
	s := &session{cfg: c, by: newInvocation(os.Args[3:]), stdout: os.Stdout, stderr: os.Stderr}
	s.openLog()
	defer s.close()
	if err := s.prepare(); err != nil {
		return err
	}
	s.host = other(s.host)
	return s.balance(context.Background())
}

// faults are what may happen to mllbd, and what it says of it.
var faults = []struct {
	kind, err string
	failed    uint64 // ticks
}{
	{"fails", "too many ticks failed in a row: 10", maxFailures},
	{"panics", "internal error: the host panics", 0},
}

// TestFaultRestores: a mllbd that fails or panics while it holds threads gives
// every mask back, and ends with a failure.
func TestFaultRestores(t *testing.T) {
	needCPUs(t, 2)
	l := startLoad(t, "forkload", "2")
	whole := ownMaskText()
	for _, f := range faults {
		t.Run(f.kind, func(t *testing.T) {
			state, dir := t.TempDir(), t.TempDir()
			gate, report := filepath.Join(dir, "gate"), filepath.Join(dir, "report")
			d := startProgram(t, state, append([]string{"faulty", f.kind, gate},
				runArgs(state, append([]string{"--report", report}, l.ownArgs("never")...)...)...)...)
			l.waitHeld(t, whole, nil)
			writeFile(t, gate)
			_ = d.Wait()
			if code := d.ProcessState.ExitCode(); code != exitFailure || !strings.Contains(d.stderr.String(), "mllbd: "+f.err) {
				t.Errorf("mllbd ended with %d, want %d and %q:\n%s", code, exitFailure, f.err, d.stderr.String())
			}
			if bad := l.narrowed(whole, nil); len(bad) > 0 {
				t.Errorf("left narrowed:\n%s\n%s", strings.Join(bad, "\n"), d.stderr.String())
			}
			if said := restore(t, state); !strings.HasPrefix(said, "0 masks restored") {
				t.Errorf("mllbd restore: %s", said)
			}
			checkFault(t, report, f.err, f.failed)
		})
	}
}

func checkFault(t *testing.T, path, why string, failed uint64) {
	t.Helper()
	r := readReport(t, path)
	if !strings.Contains(r.err, why) || r.failed != failed || r.restored == 0 || r.left != 0 {
		t.Errorf("the report says %q, %d ticks failed, %d masks restored, %d left; want %q, %d, some and 0",
			r.err, r.failed, r.restored, r.left, why, failed)
	}
}

// guarded is busy until the file $0 is there, and ends with 7.
const guarded = `for i in 1 2 3 4; do while :; do :; done & all="$all $!"; done; while [ ! -e "$0" ]; do sleep 0.1; done; kill $all; exit 7`

// TestFaultFailsOpen: a mllbd that fails or panics while CMD runs gives its masks
// back and leaves it alone, until it ends: then mllbd ends as it did.
func TestFaultFailsOpen(t *testing.T) {
	needCPUs(t, 2)
	whole := ownMaskText()
	for _, f := range faults {
		t.Run(f.kind, func(t *testing.T) {
			state, dir := t.TempDir(), t.TempDir()
			gate, end, report := filepath.Join(dir, "gate"), filepath.Join(dir, "end"), filepath.Join(dir, "report")
			d := startProgram(t, state, append([]string{"faulty", f.kind, gate},
				runArgs(state, "--mode", "own", "--hold", "busy", "--report", report, "--", "sh", "-c", guarded, end)...)...)
			held := func() (n int) {
				for _, mask := range masks(descendants(d.Process.Pid)) {
					if mask != whole {
						n++
					}
				}
				return n
			}
			eventually(t, "CMD's busy threads are held", func() (bool, any) { n := held(); return n >= 4, n })
			writeFile(t, gate)
			eventually(t, "mllbd has given up", func() (bool, any) {
				_, err := os.Stat(report)
				return err == nil, err
			})
			if n := held(); n > 0 {
				t.Errorf("%d threads of CMD are narrowed still", n)
			}
			if n := len(descendants(d.Process.Pid)); n < 1+1+4 {
				t.Errorf("%d processes of mllbd and CMD are left", n)
			}
			checkFault(t, report, f.err, f.failed)
			writeFile(t, end)
			_ = d.Wait()
			if code, s := d.ProcessState.ExitCode(), d.stderr.String(); code != 7 || !strings.Contains(s, "the command goes on without it") || !strings.Contains(s, f.err) {
				t.Errorf("mllbd ended with %d, CMD with 7:\n%s", code, s)
			}
		})
	}
}

func writeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
