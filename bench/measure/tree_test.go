// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// TestUsage holds the sums over a tree of processes and threads against what
// getrusage(2) says of it.
func TestUsage(t *testing.T) {
	s := open(t)
	for range 2 { // the second begins anew
		w := newWorkload(t, "tree 2 4")
		dir := filepath.Join("/proc", fmt.Sprint(w.pid()))
		voluntary, involuntary, err := readStatus(dir)
		if err != nil {
			t.Fatal(err)
		}
		before := runtimeOf(t, dir)
		start(t, s, Options{Root: w.pid()})
		w.begin()
		ru := w.wait()
		m := stop(t, s)

		all := sameTime(t, m, before, ru)
		if all < 3*4*30*time.Millisecond {
			t.Errorf("CPU time %v of 12 threads that burn 30 ms each", all)
		}
		if m.Tasks < 3*5 { // three processes of a thread and four more
			t.Errorf("%d threads seen", m.Tasks)
		}
		// getrusage lacks a thread's last switch, if it took itself off before.
		within(t, "voluntary switches", m.Voluntary+voluntary, uint64(ru.Nvcsw), uint64(m.Tasks))
		within(t, "involuntary switches", m.Involuntary+involuntary, uint64(ru.Nivcsw), uint64(m.Tasks))
		sameMoves(t, m)
		if !m.HasRunDelay || m.RunDelay <= 0 || m.By != "bpf" {
			t.Errorf("waiting %v (known: %v) by %s", m.RunDelay, m.HasRunDelay, m.By)
		}
	}
}

// sameTime fails unless a sample has the CPU time that getrusage has, but for
// what was before it.
func sameTime(t *testing.T, m *Sample, before time.Duration, ru *unix.Rusage) time.Duration {
	t.Helper()
	// What a thread uses after it was taken off its process is in m only:
	// little, but in an emulated guest nothing is.
	all, want := m.Utime+m.Stime, time.Duration(ru.Utime.Nano()+ru.Stime.Nano())-before
	if off := all - want; off < -tick || off > tick+time.Duration(m.Tasks)*time.Millisecond+want/20 {
		t.Errorf("CPU time %v, getrusage %v", all, want)
	}
	t.Logf("%d threads: CPU time %v, getrusage %v", m.Tasks, all, want)
	return all
}

// TestStorm has threads come and go by the hundred.
func TestStorm(t *testing.T) {
	const n, times = 100, 20
	s := open(t)
	w := newWorkload(t, fmt.Sprintf("storm %d %d", n, times))
	before := runtimeOf(t, filepath.Join("/proc", fmt.Sprint(w.pid())))
	start(t, s, Options{Root: w.pid()})
	w.begin()
	ru := w.wait()
	m := stop(t, s)
	sameTime(t, m, before, ru)
	if m.Tasks < n*times {
		t.Errorf("%d threads of %d were seen, %d lost", m.Tasks, n*times, m.Lost)
	}
	sameMoves(t, m)
}

// sameMoves fails unless migrations are what the kernel counted. It may keep a few
// events from the programs, which is then said.
func sameMoves(t *testing.T, m *Sample) {
	t.Helper()
	if sum := migrations(m); m.Lost == 0 && sum != m.Moves || sum > m.Moves || m.Lost > uint64(m.Tasks/100) {
		t.Errorf("%d migrations, the kernel counted %d; of %d threads %d lost", sum, m.Moves, m.Tasks, m.Lost)
	}
}

// runtimeOf reads how long a thread that sleeps has run.
func runtimeOf(t *testing.T, dir string) time.Duration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if err != nil {
		t.Fatal(err)
	}
	var ns int64
	if _, err := fmt.Sscan(string(text), &ns); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
}

// within fails unless got is want, or up to slack more.
func within(t *testing.T, what string, got, want, slack uint64) {
	t.Helper()
	if got < want || got > want+slack {
		t.Errorf("%s: %d, want %d to %d", what, got, want, want+slack)
	}
}

func migrations(m *Sample) (sum uint64) {
	for _, n := range m.Migrations {
		sum += n
	}
	return sum
}

// pairs finds two CPUs for each level that this host has.
func pairs(top *topology.Topology) map[topology.Level][2]int {
	found := map[topology.Level][2]int{}
	for a := range top.Online.All() {
		for b := range top.Online.All() {
			if a >= b {
				continue
			}
			level := topology.Machine
			switch {
			case top.SameCore(a, b):
				level = topology.SMT
			case top.SameLLC(a, b):
				level = topology.LLC
			case top.NodeOf(a) == top.NodeOf(b):
				level = topology.Node
			}
			if _, ok := found[level]; !ok {
				found[level] = [2]int{a, b}
			}
		}
	}
	return found
}

// TestMigrations forces migrations between two CPUs at each level. The workload
// is confined to both, so its threads can cross no other.
func TestMigrations(t *testing.T) {
	s := open(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &mask) }()
	all := pairs(host(t))
	if len(all) == 0 {
		t.Skip("needs two CPUs")
	}
	for level, cpus := range all {
		t.Run(level.String(), func(t *testing.T) {
			if err := pin(cpus[0], cpus[1]); err != nil {
				t.Fatal(err)
			}
			w := newWorkload(t, fmt.Sprintf("hop %d %d", cpus[0], cpus[1]))
			start(t, s, Options{Root: w.pid()})
			w.begin()
			w.wait()
			m := stop(t, s)
			for l, n := range m.Migrations {
				if topology.Level(l) == level && n < hops-1 || topology.Level(l) != level && n > 0 {
					t.Errorf("%d to %d and back %d times: %v by level", cpus[0], cpus[1], hops, m.Migrations)
					break
				}
			}
			sameMoves(t, m)
		})
	}
}

// TestOutside measures a process that does nothing while another works.
func TestOutside(t *testing.T) {
	s := open(t)
	idle, busy := newWorkload(t, "burn 1 1"), newWorkload(t, "tree 1 4")
	start(t, s, Options{Root: idle.pid()})
	busy.begin()
	busy.wait()
	m := stop(t, s)
	if m.Tasks != 1 || m.Utime+m.Stime != 0 || m.Voluntary+m.Involuntary != 0 || migrations(m) != 0 {
		t.Errorf("a sleeping process: %+v", m)
	}
}

// TestAlive ends the measurement while threads run that were there before it.
func TestAlive(t *testing.T) {
	s := open(t)
	g := newSpin(t, 3, -1)
	beforeStart := usedBy(t, g.pid())
	start(t, s, Options{Root: g.pid()})
	before := usedBy(t, g.pid())
	after := before
	for after.least <= before.least+30 {
		time.Sleep(10 * time.Millisecond)
		after = usedBy(t, g.pid())
	}
	m := stop(t, s)
	afterStop := usedBy(t, g.pid())
	// Those are whole ticks, and the kernel's counter of a thread that runs is of its last tick.
	low, high := time.Duration(after.least-before.least)*tick, time.Duration(afterStop.least-beforeStart.least)*tick
	slack := time.Duration(m.Tasks+1) * tick
	if all := m.Utime + m.Stime; all < low-slack || all > high+slack {
		t.Errorf("CPU time %v, want %v to %v, give or take %v", all, low, high, slack)
	}
	if m.Tasks < 4 || m.Tasks > afterStop.threads {
		t.Errorf("%d threads, want 3 that spin and more, of %d", m.Tasks, afterStop.threads)
	}
}

// TestQueues keeps CPU 0 at five threads at least.
func TestQueues(t *testing.T) {
	s := open(t)
	const n = 5
	g := newSpin(t, n, 0)
	start(t, s, Options{Root: g.pid(), Interval: 20 * time.Millisecond})
	time.Sleep(2 * time.Second)
	m := stop(t, s)
	var sum, long uint64
	for i, k := range m.Lengths {
		sum += k
		if i >= n {
			long += k
		}
	}
	t.Logf("%d samples: imbalance %v, lengths %v", m.Samples, m.MaxImbalance, m.Lengths)
	if m.Samples == 0 || len(m.MaxImbalance) != m.Samples || !m.HasQueues {
		t.Fatalf("%d samples, %d imbalances", m.Samples, len(m.MaxImbalance))
	}
	if want := uint64(m.Samples * host(t).Online.Count()); sum != want {
		t.Errorf("%d lengths of %d samples, want %d", sum, m.Samples, want)
	}
	if long < uint64(m.Samples) {
		t.Errorf("%d of %d samples saw the %d threads of CPU 0", long, m.Samples, n)
	}
	for _, d := range m.MaxImbalance {
		if int(d) >= len(m.Lengths) {
			t.Errorf("imbalance %d, but no queue is longer than %d", d, len(m.Lengths)-1)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	s := open(t)
	w := newWorkload(t, "burn 1 1")
	for _, o := range []Options{{}, {Root: 1 << 30}, {Root: w.pid(), Interval: 1}} {
		if err := s.Start(o); err == nil {
			t.Errorf("%+v: started", o)
		}
	}
	if _, err := s.Stop(); err == nil {
		t.Error("stopped what was not started")
	}
	start(t, s, Options{Root: w.pid()})
	if err := s.Start(Options{Root: w.pid()}); err == nil {
		t.Error("started twice")
	}
	if m := stop(t, s); m.Tasks != 1 {
		t.Errorf("%d threads of a shell", m.Tasks)
	}
}
