// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/bpf"
	"mllb/topology"
)

// The test binary runs itself as the processes that are held, and as the
// daemon that is killed.
const helperEnv = "MLLB_AFFINITY_HELPER"

func TestMain(m *testing.M) {
	helper := map[string]func(){"storm": storm, "leaf": leaf, "daemon": daemon, "pins": pins}[os.Getenv(helperEnv)]
	if helper == nil {
		os.Exit(m.Run())
	}
	helper()
}

func helperCommand(name string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(append(os.Environ(), helperEnv+"="+name), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// storm starts processes and threads that end at once, until its input ends.
func storm() {
	stop := make(chan struct{})
	for range 2 {
		go func() {
			for {
				_ = helperCommand("leaf").Run()
			}
		}()
	}
	for range 4 {
		go func() {
			for {
				done := make(chan struct{})
				go func() { runtime.LockOSThread(); close(done) }() // its thread ends with it
				<-done
				time.Sleep(time.Millisecond)
			}
		}()
	}
	fmt.Println("ready")
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(stop) }()
	<-stop
}

// leaf is a short-lived process; one in three leaves an orphan behind.
func leaf() {
	if rand.IntN(3) == 0 && os.Getenv("MLLB_ORPHAN") == "" {
		_ = helperCommand("leaf", "MLLB_ORPHAN=1").Start()
		return
	}
	time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
}

// startStorm runs a storm in a session of its own and returns its pid.
func startStorm(t *testing.T) int {
	t.Helper()
	cmd := helperCommand("storm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, cmd)
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func waitReady(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
}

// sessionThreads reads every thread of a session.
func sessionThreads(t testing.TB, sys Sys, session int) []Task {
	t.Helper()
	var out []Task
	err := sys.Threads([]topology.CPUSet{everyCPU}, func(tgid, tid int32) bool {
		task, err := sys.Task(tgid, tid)
		if err == nil && int(task.Session) == session && task.Flags&flagExiting == 0 {
			out = append(out, task)
		} else if err != nil && !errors.Is(err, ErrGone) {
			t.Error(err)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

func sessionSnapshot(t testing.TB, sys Sys, session int, s *features.Snapshot) {
	s.Reset()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	s.Time = ts.Nano()
	for _, task := range sessionThreads(t, sys, session) {
		i := s.Mask(task.Mask)
		s.Threads = append(s.Threads, features.Thread{ID: task.ID, TGID: task.TGID, PPID: task.PPID, Session: task.Session,
			Flags: task.Flags, Allowed: i, Owner: i, Hold: -1, Managed: true})
	}
}

func needRealHost(t testing.TB) *linux {
	t.Helper()
	sys, err := newLinux("/")
	if err != nil {
		t.Fatal(err)
	}
	self, err := sys.Task(int32(os.Getpid()), int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if self.Mask.Count() < 2 {
		t.Skipf("needs two CPUs, this process may use {%s}", self.Mask)
	}
	return sys
}

// daemon moves the threads of session MLLB_SESSION about until it is killed.
func daemon() {
	var t testing.T // for its Fatal: a helper has no test of its own
	sys, err := newLinux("/")
	session, bad := strconv.Atoi(os.Getenv("MLLB_SESSION"))
	if err != nil || bad != nil {
		panic(errors.Join(err, bad))
	}
	e, _, err := Open(realConfig(os.Getenv("MLLB_STATE")))
	if err != nil {
		panic(err)
	}
	var s features.Snapshot
	for n := 0; ; n++ {
		sessionSnapshot(&t, sys, session, &s)
		if err := e.Sync(&s); err != nil {
			fmt.Fprintln(os.Stderr, "sync:", err)
		}
		var holds []features.Hold
		var free []int32
		for i := range s.Threads {
			if cpu := s.Masks[s.Threads[i].Owner]; rand.IntN(3) > 0 {
				holds = append(holds, features.Hold{Thread: int32(i), CPU: int32(rand.IntN(cpu.Count()))})
			} else {
				free = append(free, int32(i))
			}
		}
		e.Apply(&s, holds, 0)
		e.Release(&s, free)
		if n == 0 {
			fmt.Println("ready")
		}
	}
}

func realConfig(state string) Config {
	cfg := Config{StateDir: state}
	if dir := os.Getenv("MLLB_CGROUP"); dir != "" {
		cfg.Kind, cfg.Cgroup = KindCPUSet, dir
	}
	return cfg
}

// TestKill kills a daemon that holds and moves the threads of a process that
// forks all the time, again and again; each time every thread gets its owner's
// mask back, alternately from Restore and from the next daemon.
func TestKill(t *testing.T) {
	sys := needRealHost(t)
	killLoop(t, sys, t.TempDir()+"/state", startStorm(t))
}

func killLoop(t *testing.T, sys *linux, state string, session int) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	if n, err := strconv.Atoi(os.Getenv("MLLB_KILLS")); err == nil {
		rounds = n
	}
	first, err := sys.Task(int32(session), int32(session))
	if err != nil {
		t.Fatal(err)
	}
	total := Report{}
	for round := range rounds {
		cmd := helperCommand("daemon", "MLLB_SESSION="+strconv.Itoa(session), "MLLB_STATE="+state)
		waitReady(t, cmd)
		time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		r := recoverBy(t, state, round%2 == 0)
		if r.Failed > 0 || r.Foreign > 0 {
			t.Errorf("round %d: %v %q", round, r, r.Notes)
		}
		tasks := sessionThreads(t, sys, session)
		if len(tasks) == 0 {
			t.Fatalf("round %d: the storm has no thread", round)
		}
		for _, task := range tasks {
			if !task.Mask.Equal(first.Mask) {
				t.Fatalf("round %d: thread %+v, was {%s}; %v %q", round, task, first.Mask, r, r.Notes)
			}
		}
		total.Restored += r.Restored
		total.Inherited += r.Inherited
		total.Gone += r.Gone
	}
	if total.Restored == 0 {
		t.Errorf("in %d rounds nothing was held when the daemon was killed", rounds)
	}
	t.Logf("%d kills: %v", rounds, total)
}

func recoverBy(t *testing.T, state string, restore bool) Report {
	t.Helper()
	if restore {
		r, err := Restore(realConfig(state))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	e, r, err := Open(realConfig(state))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestHoldReal narrows a child of this test, has it fork, and lets go.
func TestHoldReal(t *testing.T) {
	sys := needRealHost(t)
	session := startStorm(t)
	e, _, err := Open(Config{StateDir: t.TempDir() + "/state"})
	if err != nil {
		t.Fatal(err)
	}
	holdAndClose(t, sys, e, session)
}

// TestForksReal does the same with the eBPF fork tracer.
func TestForksReal(t *testing.T) {
	sys := needRealHost(t)
	forks, err := bpf.OpenForks()
	if err != nil {
		t.Skipf("no fork tracer: %v", err)
	}
	session := startStorm(t)
	e, _, err := Open(Config{StateDir: t.TempDir() + "/state", Forks: forks})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan uint64)
	go func() {
		n := uint64(0)
		for f, err := forks.Read(); err == nil; f, err = forks.Read() {
			e.Forked(Fork{Parent: f.Parent, Child: features.ID{TID: f.Child, Start: f.Start}, TGID: f.TGID})
			n++
		}
		ended <- n
	}()
	holdAndClose(t, sys, e, session)
	if err := forks.Close(); err != nil {
		t.Error(err)
	}
	if n := <-ended; n == 0 {
		t.Error("no fork was reported")
	}
}

func holdAndClose(t *testing.T, sys *linux, e *Enforcer, session int) {
	t.Helper()
	var s features.Snapshot
	first, err := sys.Task(int32(session), int32(session))
	if err != nil {
		t.Fatal(err)
	}
	cpu := int32(first.Mask.First())
	for n := 0; n < 5 || n < 2000 && e.Stats().Forks == 0; n++ {
		sessionSnapshot(t, sys, session, &s)
		if err := e.Sync(&s); err != nil {
			t.Fatal(err)
		}
		var holds []features.Hold
		for i := range s.Threads {
			holds = append(holds, features.Hold{Thread: int32(i), CPU: cpu})
		}
		for i, err := range e.Apply(&s, holds, 0) {
			if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrChanged) && !errors.Is(err, ErrOutside) {
				t.Fatalf("hold %+v: %v", s.Threads[i], err)
			}
		}
	}
	if now, err := sys.Task(int32(session), int32(session)); err != nil || single(now.Mask) != cpu {
		t.Fatalf("the mask of a held thread is {%s}, %v; want {%d}", now.Mask, err, cpu)
	}
	stats := e.Stats()
	if stats.Forks == 0 {
		t.Error("no child had inherited a narrowed mask: nothing is shown")
	}
	report, err := e.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; %+v", report, stats)
	for _, task := range sessionThreads(t, sys, session) {
		if !task.Mask.Equal(first.Mask) {
			t.Errorf("thread %d has {%s}, had {%s}", task.TID, task.Mask, first.Mask)
		}
	}
}
