// SPDX-License-Identifier: Apache-2.0

package features_test

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/internal/threads"
	"mllb/internal/cgroup"
	"mllb/topology"
)

// known is what the test made a thread be: both backends must say so each time.
type known struct {
	tid, pid     int
	comm         string
	policy, nice int
	cpu          int // -1: any
	state        byte
	cgroup       uint64 // 0: any
}

// hierarchy picks one in which a thread can be put somewhere without changing
// how it is scheduled, if there is one.
func hierarchy(t *testing.T) cgroup.Mount {
	t.Helper()
	mounts, err := cgroup.Mounts("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.Hierarchy != 0 && !slices.ContainsFunc(m.Controllers, func(c string) bool {
			return c == "cpu" || c == "cpuset" || c == "memory"
		}) {
			return m
		}
	}
	if len(mounts) > 0 {
		return mounts[0]
	}
	return cgroup.Mount{}
}

// spawn starts the load and returns what it must look like.
func (e *backends) spawn(t *testing.T) []known {
	t.Helper()
	dir, inode := e.makeCgroup(t)
	cpus := allowed(t)
	first, last := cpus.First(), 0
	for last = range cpus.All() {
	}
	var all []known
	add := func(g *threads.Group, cpu int, state byte) []int {
		for _, tid := range g.TIDs {
			all = append(all, known{tid: tid, pid: g.PID, comm: "exe", cpu: cpu, state: state})
		}
		return g.TIDs
	}
	sleepers := threads.Sleep(t, 5)
	tids := add(sleepers, -1, 'S')
	setPolicy(t, all, tids[0], unix.SCHED_BATCH, 0)
	setPolicy(t, all, tids[1], features.SchedIdle, 0)
	setPolicy(t, all, tids[2], unix.SCHED_FIFO, 0)
	setNice(t, all, tids[3], -5)
	if dir != "" && os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(sleepers.PID)), 0o644) == nil {
		for i := range all {
			all[i].cgroup = inode
		}
	}
	add(threads.Spin(t, 2, first), first, 'R')
	tids = add(threads.Spin(t, 2, last), last, 'R')
	setPolicy(t, all, tids[0], unix.SCHED_BATCH, 3)
	tids = add(threads.Spin(t, 3, -1), -1, 'R')
	setNice(t, all, tids[0], 7)
	for _, name := range []string{"a) b (c", "x\ny (1, #thr", ") R 1 1"} {
		all = append(all, named(t, name))
	}
	return all
}

// makeCgroup makes a cgroup for the test, "" where it may not.
func (e *backends) makeCgroup(t *testing.T) (string, uint64) {
	t.Helper()
	err := errors.New("no hierarchy is mounted")
	var dir string
	if e.mount.Point != "" {
		dir, err = os.MkdirTemp(e.mount.Point, "mllb-test-")
	}
	if err != nil {
		t.Logf("no cgroup can be made, only existing ones are compared: %v", err)
		return "", 0
	}
	t.Cleanup(func() { os.Remove(dir) })
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return dir, st.Ino
}

func allowed(t *testing.T) topology.CPUSet {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	var cpus topology.CPUSet
	for c := range topology.MaxCPUs {
		if set.IsSet(c) {
			cpus.Add(c)
		}
	}
	return cpus
}

func setPolicy(t *testing.T, all []known, tid, policy, nice int) {
	t.Helper()
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: uint32(policy), Nice: int32(nice)}
	if policy == unix.SCHED_FIFO {
		attr.Priority = 1
	}
	if err := unix.SchedSetAttr(tid, attr, 0); err != nil {
		t.Logf("policy %d: %v", policy, err)
		return
	}
	k := &all[slices.IndexFunc(all, func(k known) bool { return k.tid == tid })]
	k.policy, k.nice = policy, nice
}

func setNice(t *testing.T, all []known, tid, nice int) {
	t.Helper()
	if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil {
		t.Logf("nice %d: %v", nice, err)
		return
	}
	all[slices.IndexFunc(all, func(k known) bool { return k.tid == tid })].nice = nice
}

// named starts a thread of this process with a name of its own, asleep.
func named(t *testing.T, name string) known {
	tid, stop := make(chan int), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		b := append([]byte(name), 0)
		if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-stop
	}()
	return known{tid: <-tid, pid: os.Getpid(), comm: name, cpu: -1, state: 'S'}
}
