// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPoll follows a tree by /proc. Counts of the kernel's only grow, so that what
// the tree used between two looks of the test, one on either side of Start or of
// Stop, bounds what was measured from both sides.
func TestPoll(t *testing.T) {
	p, err := openPoll("/")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sampler{follow: p, missing: p.missing()}
	defer s.Close()
	w := newWorkload(t, "spins 2 -1")
	w.begin()
	for range 2 { // processes, of which each says so
		if _, err := w.out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(childrenOf(t, w.pid())); n != 1 {
		t.Fatalf("%d processes below the first, want 1", n)
	}
	beforeStart := usedBy(t, w.pid())
	start(t, s, Options{Root: w.pid()})
	afterStart := usedBy(t, w.pid())
	const enough = 60 // ticks of CPU time in either process
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		now := usedBy(t, w.pid())
		if now.least >= afterStart.least+enough {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the load uses no CPU time: %+v, %+v", afterStart, now)
		}
	}
	beforeStop := usedBy(t, w.pid())
	m := stop(t, s)
	afterStop := usedBy(t, w.pid())
	if m.By != "proc" || m.HasQueues || m.HasMigrations || len(m.Missing) < 3 || m.HasRunDelay != p.delay {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct {
		name string
		got  uint64
		of   func(u treeUse) uint64
	}{
		{"ticks of CPU time", uint64((m.Utime + m.Stime) / tick), func(u treeUse) uint64 { return u.utime + u.stime }},
		{"voluntary switches", m.Voluntary, func(u treeUse) uint64 { return u.voluntary }},
		{"involuntary switches", m.Involuntary, func(u treeUse) uint64 { return u.involuntary }},
		{"ns of waiting", uint64(m.RunDelay), func(u treeUse) uint64 { return uint64(u.delay) }},
	} {
		low, high := c.of(beforeStop)-c.of(afterStart), c.of(afterStop)-c.of(beforeStart)
		if t.Logf("%d %s", c.got, c.name); c.got < low || c.got > high {
			t.Errorf("%d %s, want %d to %d", c.got, c.name, low, high)
		}
	}
	// None of the threads ends.
	if m.Tasks < beforeStop.threads || m.Tasks > afterStop.threads || m.Tasks < 2*3 {
		t.Errorf("%d threads, want %d to %d", m.Tasks, beforeStop.threads, afterStop.threads)
	}
}

// treeUse is what the processes of a workload used, and how many threads they have.
type treeUse struct {
	use
	least   uint64 // ticks of CPU time of the process that used less
	threads int
}

// usedBy reads what a workload and the processes below it used.
func usedBy(t *testing.T, root int) (all treeUse) {
	t.Helper()
	pids := append([]int{root}, childrenOf(t, root)...)
	all.least = 1<<64 - 1
	for _, pid := range pids {
		dir := filepath.Join("/proc", fmt.Sprint(pid))
		_, u, err := readStat(dir)
		if err != nil {
			t.Fatal(err)
		}
		all.utime, all.stime, all.least = all.utime+u.utime, all.stime+u.stime, min(all.least, u.utime+u.stime)
		for _, thread := range threadsOf(t, dir) {
			voluntary, involuntary, err := readStatus(thread)
			if err != nil {
				t.Fatal(err)
			}
			delay, err := readSchedstat(thread)
			if err != nil && !os.IsNotExist(err) { // CONFIG_SCHED_INFO
				t.Fatal(err)
			}
			all.voluntary, all.involuntary, all.delay = all.voluntary+voluntary, all.involuntary+involuntary, all.delay+delay
			all.threads++
		}
	}
	return all
}

func threadsOf(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "task", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("threads of %s: %v, %v", dir, found, err)
	}
	return found
}

func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	for _, thread := range threadsOf(t, filepath.Join("/proc", fmt.Sprint(pid))) {
		text, err := os.ReadFile(filepath.Join(thread, "children"))
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}

// TestPollRefuses: without /proc, or a process, there is nothing to follow.
func TestPollRefuses(t *testing.T) {
	if _, err := openPoll(t.TempDir()); err == nil {
		t.Error("opened without /proc")
	}
	p, err := openPoll("/")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sampler{follow: p, missing: p.missing()}
	defer s.Close()
	if err := s.Start(Options{Root: 1 << 30}); err == nil {
		t.Error("started without a process")
	}
}
