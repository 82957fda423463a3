// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/internal/runreport"
)

// TestRotatesEvents does as logrotate(8) does: a file is renamed, mllbd gets SIGHUP
// and goes on in a new one. No line is lost and none is torn.
func TestRotatesEvents(t *testing.T) {
	needCPUs(t, 2)
	const files = 5
	l := startLoad(t, "forkload", "2")
	dir := t.TempDir()
	path, report := filepath.Join(dir, "events"), filepath.Join(dir, "report")
	d := startDaemon(t, t.TempDir(), append(l.ownArgs("never"), "--events", path, "--report", report)...)
	name := func(n int) string { return fmt.Sprintf("%s.%d", path, n) }
	for n := range files {
		eventually(t, fmt.Sprintf("file %d has events", n), func() (bool, any) {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0, err
		})
		if n == files-1 {
			break
		}
		if err := os.Rename(path, name(n)); err != nil {
			t.Fatal(err)
		}
		if err := d.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.end()
	if err := os.Rename(path, name(files-1)); err != nil {
		t.Fatal(err)
	}
	var asked uint64
	for n := range files {
		b, err := os.ReadFile(name(n))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var e struct{ Verdict string }
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("file %d: %v in %s", n, err, line)
			}
			if e.Verdict != "" {
				asked++
			}
		}
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runreport.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := runreport.Total(r.Asked); asked != want {
		t.Errorf("%d decisions in %d files, %d were made", asked, files, want)
	}
}

// TestTerminalHangsUp: mllbd ends with its terminal, also where SIGHUP rotates.
func TestTerminalHangsUp(t *testing.T) {
	needCPUs(t, 2)
	for name, args := range map[string][]string{"events": {"--events", filepath.Join(t.TempDir(), "events")}, "no events": nil} {
		t.Run(name, func(t *testing.T) { hangUp(t, args) })
	}
}

func hangUp(t *testing.T, args []string) {
	l := startLoad(t, "forkload", "1")
	whole := ownMaskText()
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	d := prepareProgram(t, t.TempDir(), append([]string{"mllbd"}, runArgs(t.TempDir(), append(l.ownArgs("never"), args...)...)...)...)
	d.Stdin, d.SysProcAttr = slave, &syscall.SysProcAttr{Setsid: true, Setctty: true}
	d.start()
	slave.Close()
	l.waitHeld(t, whole, nil)
	master.Close()
	if err := waitAtMost(d.Cmd, patience()); err != nil {
		t.Errorf("mllbd: %v\n%s", err, d.stderr.String())
	}
	if bad := l.narrowed(whole, nil); len(bad) > 0 {
		t.Errorf("left narrowed: %v", bad)
	}
}
