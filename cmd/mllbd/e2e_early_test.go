// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/bpf"
)

// needIdle skips a test where the kernel cannot tell mllbd of idle CPUs.
func needIdle(t *testing.T) {
	t.Helper()
	r, err := bpf.Open(bpf.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	var s features.Snapshot
	if err := r.Snapshot(&s); err != nil {
		t.Fatal(err)
	}
	w, err := r.OpenIdle()
	if err != nil {
		t.Skip(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestEarlyTick: a load is held on all CPUs when what is on the first half of them
// ends. Ticks are due so seldom that the first of them, which holds the load, is the
// only one: it is an early tick that fills the idle CPUs. That is tried again where
// others kept them from going idle.
func TestEarlyTick(t *testing.T) {
	needCPUs(t, 2)
	needIdle(t)
	tries := 5
	if inGuest {
		tries = 2 // each may take a minute
	}
	for range tries {
		r, idle := starve(t, "bpf")
		t.Logf("%d ticks that were due, %d early; %d moves; %d clock ticks idle", r.due, r.early, r.moved, idle)
		switch {
		case r.due == 1 && r.early > 0 && r.moved > 0:
			return
		case r.due == 1:
			t.Fatal("want the first tick that was due and some early, which move threads")
		case r.early == 0 && idle > 2 && !inGuest:
			t.Fatal("CPUs were idle until another tick was due")
		}
	}
	t.Skip("others never let a CPU go idle, or all took longer than ten seconds")
}

// Without the watch, which snapshots from /proc do not have, an idle CPU waits for a
// tick that is due.
func TestNoEarlyTick(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits ten seconds for a tick that is due")
	}
	needCPUs(t, 2)
	if r, _ := starve(t, "proc"); r.early != 0 || r.due < 2 || r.moved == 0 {
		t.Errorf("%d ticks that were due, %d early, %d moves; want two, none and some", r.due, r.early, r.moved)
	}
}

// starve runs mllbd on a load of which the first half of the CPUs lose their part, until
// they have some again, and tells how long they were idle meanwhile.
func starve(t *testing.T, snapshot string) (r ending, idle int) {
	t.Helper()
	n, dir := 4*runtime.NumCPU(), t.TempDir()
	gate, report := filepath.Join(dir, "gate"), filepath.Join(dir, "report")
	l := startLoad(t, "crowd", strconv.Itoa(n), cpus(), gate, "3600")
	d := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "all", "--policy", "always", "--interval", "10s",
		"--snapshot", snapshot, "--report", report, "--cgroup", l.dir)
	stay := 0
	eventually(t, "the load is held", func() (bool, any) {
		on, whole := heldOn(l.busy())
		stay = sum(on[len(on)/2:])
		return whole == 0, on
	})
	_, before := cpuTicks(t, runtime.NumCPU()/2)
	writeFile(t, gate)
	eventually(t, "the first half of the CPUs is used again", func() (bool, any) {
		on, _ := heldOn(l.busy())
		return sum(on) <= stay && !left(on), on
	})
	_, after := cpuTicks(t, runtime.NumCPU()/2)
	_ = d.Process.Signal(unix.SIGTERM)
	if err := d.Wait(); err != nil {
		t.Errorf("mllbd: %v\n%s", err, d.stderr.String())
	}
	l.stop(t)
	return readReport(t, report), after - before
}

func sum(on []int) (n int) {
	for _, v := range on {
		n += v
	}
	return n
}
