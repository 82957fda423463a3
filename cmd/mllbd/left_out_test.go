// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mllb/topology"
)

// TestLeftOutWatch: a change is believed once two looks in a row saw it.
func TestLeftOutWatch(t *testing.T) {
	root := t.TempDir()
	listOnline(t, root, "0-3")
	was, err := topology.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w := &leftOutWatch{root: root, log: slog.New(slog.NewTextHandler(&log, nil))}
	for i, tt := range []struct {
		isolated string
		early    bool // before it is time to look
		want     bool
	}{
		{"", false, false},
		{"3", false, false}, // perhaps for a moment only
		{"3", true, false},
		{"3", false, true},
		{"2-3", false, false},
		{"", false, false}, // as it was
		{"2-3", false, false},
		{"2-3", false, true},
		{"x", false, false},
		{"x", false, false},
		{"2-3", false, false},
	} {
		if err := os.WriteFile(filepath.Join(root, "sys/devices/system/cpu/isolated"), []byte(tt.isolated+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if !tt.early {
			w.next = time.Time{}
		}
		if got := w.changed(was); got != tt.want {
			t.Errorf("look %d, isolated %q: %v, want %v", i, tt.isolated, got, tt.want)
		}
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("said %d times that it cannot be read:\n%s", n, log.String())
	}
	// Back from some that are left out to none.
	if err := os.WriteFile(filepath.Join(root, "sys/devices/system/cpu/isolated"), []byte("3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if was, err = topology.Read(root); err != nil || len(was.LeftOut) != 1 {
		t.Fatal(was, err)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/devices/system/cpu/isolated"), []byte("\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true} {
		if w.next = (time.Time{}); w.changed(was) != want {
			t.Errorf("look %d after the last one came back: %v", i, !want)
		}
	}
}

// TestPartitionComes isolates a CPU while mllbd owns a load that may run there.
func TestPartitionComes(t *testing.T) {
	needGuest(t)
	needCPUs(t, 3)
	const top = "/sys/fs/cgroup"
	if b, err := os.ReadFile(top + "/cgroup.controllers"); err != nil || !strings.Contains(string(b), "cpuset") {
		t.Skip("cpuset is no controller of a v2 hierarchy here")
	}
	if err := os.WriteFile(top+"/cgroup.subtree_control", []byte("+cpuset"), 0); err != nil {
		t.Fatal(err)
	}
	whole := ownMaskText()
	addr := freeAddr(t)
	l := startLoad(t, "forkload", "3")
	d := startDaemon(t, t.TempDir(), append(l.ownArgs("always"), "--listen", addr)...)
	l.waitHeld(t, whole, nil)
	eventually(t, "mllbd has begun", func() (bool, any) {
		status, page := getPage(addr, "/metrics")
		return status == 200 && !strings.Contains(page, "\nmllb_ticks_total 0\n"), page
	})
	part, err := os.MkdirTemp(top, "mllb-part-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(part) })
	for _, file := range [][2]string{{"cpuset.cpus", "1"}, {"cpuset.cpus.partition", "isolated"}} {
		if err := os.WriteFile(filepath.Join(part, file[0]), []byte(file[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
	leftOut := func(n string) {
		t.Helper()
		eventually(t, "mllbd leaves out "+n, func() (bool, any) {
			_, page := getPage(addr, "/metrics")
			return strings.Contains(page, "\nmllb_cpus_left_out "+n+"\n"), page
		})
	}
	leftOut("1")
	left := cpusBut(1)
	eventually(t, "the load is held again, and managed without CPU 1", func() (bool, any) {
		held := 0
		for _, mask := range masks(l.pids()) {
			if mask == "1" {
				return false, "a thread is on CPU 1"
			}
			if mask != left && mask != whole {
				held++
			}
		}
		_, page := getPage(addr, "/metrics")
		return held > 0 && !strings.Contains(page, "\nmllb_threads_managed 0\n"), masks(l.pids())
	})
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	leftOut("0")
	eventually(t, "and has CPU 1 back", func() (bool, any) {
		for _, mask := range masks(l.pids()) {
			if mask == "1" {
				return true, nil
			}
		}
		return false, masks(l.pids())
	})
	d.finish(t, `left_out="1 (`, "left_out_before=\"1 (")
	eventually(t, "every mask is whole", func() (bool, any) {
		bad := l.narrowed(whole, nil)
		return len(bad) == 0, bad
	})
}

// cpusBut lists the CPUs of this process without one.
func cpusBut(cpu int) string {
	set, _ := topology.ParseCPUList(ownMaskText())
	set.Remove(cpu)
	return set.String()
}
