// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mllb/features"
	"mllb/features/internal/threads"
)

// TestCgroup puts a process into a new cgroup of each kind of hierarchy that
// is mounted: its threads must show the inode of that directory.
func TestCgroup(t *testing.T) {
	for _, tt := range []struct{ name, controller string }{
		{"v2", ""}, {"v1", "cpuset"}, {"v1 named", "name=systemd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, mount := hierarchy(t, tt.controller)
			r := openReader(t, Options{Hierarchy: id})
			g := threads.Sleep(t, 2)
			inode := moveToNew(t, mount, g)
			var s features.Snapshot
			byTID := snapshot(t, r, &s)
			for _, tid := range append(g.TIDs, g.PID) {
				if got := byTID[tid].Cgroup; got != inode {
					t.Errorf("thread %d: cgroup %d, want %d", tid, got, inode)
				}
			}
			if kthreadd, want := byTID[2], inodeOf(t, mount); kthreadd != nil && kthreadd.Cgroup != want {
				t.Errorf("kthreadd: cgroup %d, want the root's, %d", kthreadd.Cgroup, want)
			}
		})
	}
}

func TestUnknownHierarchy(t *testing.T) {
	r := openReader(t, Options{Hierarchy: 1 << 20})
	var s features.Snapshot
	for tid, th := range snapshot(t, r, &s) {
		if th.Cgroup != 0 {
			t.Fatalf("thread %d: cgroup %d in a hierarchy that does not exist", tid, th.Cgroup)
		}
	}
}

// hierarchy finds the id and the mount point of the hierarchy of a controller;
// "" is version 2 (cgroups(7), proc_pid_mountinfo(5)).
func hierarchy(t *testing.T, controller string) (int, string) {
	t.Helper()
	id, point := -1, ""
	for line := range lines(t, "/proc/self/cgroup") {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && slices.Contains(strings.Split(f[1], ","), controller) {
			id, _ = strconv.Atoi(f[0])
		}
	}
	for line := range lines(t, "/proc/self/mountinfo") {
		head, tail, _ := strings.Cut(line, " - ")
		f := strings.Fields(tail)
		if len(f) < 3 || strings.Fields(head)[3] != "/" {
			continue
		}
		if controller == "" && f[0] == "cgroup2" || f[0] == "cgroup" && slices.Contains(strings.Split(f[2], ","), controller) {
			point = strings.Fields(head)[4]
		}
	}
	if id < 0 || point == "" {
		t.Skipf("no hierarchy of controller %q is mounted", controller)
	}
	return id, point
}

// moveToNew moves a group to a new cgroup, which goes with the test, and
// returns the inode of its directory.
func moveToNew(t *testing.T, mount string, g *threads.Group) uint64 {
	t.Helper()
	dir, err := os.MkdirTemp(mount, "mllb-test-")
	if err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() {
		g.Stop()
		// A task leaves its cgroup after its parent has heard of its end.
		var err error
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if err = os.Remove(dir); !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
				break
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	// A new v1 cpuset has no CPUs and nodes, and takes no process until it has.
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		text, err := os.ReadFile(filepath.Join(mount, name))
		if err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(g.PID)), 0o644); err != nil {
		t.Fatal(err)
	}
	return inodeOf(t, dir)
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

func lines(t *testing.T, path string) func(func(string) bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitSeq(strings.TrimSpace(string(text)), "\n")
}
