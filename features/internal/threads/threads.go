// SPDX-License-Identifier: Apache-2.0

// Package threads gives tests and benchmarks a child process with many
// sleeping or spinning threads. The child is the test binary itself, so a
// package that uses it needs
//
//	func TestMain(m *testing.M) { threads.Main(m) }
package threads

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// env holds "sleep N -1", "spin N CPU" or "storm N -1" in a child, and tells it apart.
const env = "MLLB_TEST_THREADS"

// Group is a child process and the threads that it was asked for. The Go
// runtime of the child has a few threads more, all of them asleep.
type Group struct {
	PID  int
	TIDs []int
	Stop func() // ends the child; may be called more than once
}

// Sleep starts a process with n threads that sleep (state S), and returns when
// all do. It is stopped when tb ends, or earlier by Stop.
func Sleep(tb testing.TB, n int) *Group {
	tb.Helper()
	return start(tb, fmt.Sprintf("sleep %d -1", n))
}

// Spin starts a process with n threads that spin on cpu, or on any CPU if cpu
// is negative. It is stopped when tb ends, or earlier by Stop.
func Spin(tb testing.TB, n, cpu int) *Group {
	tb.Helper()
	return start(tb, fmt.Sprintf("spin %d %d", n, cpu))
}

// Storm starts a process whose threads start, run and sleep for a fraction of a
// millisecond and end, and which starts others that end at once, all the time.
func Storm(tb testing.TB) *Group {
	tb.Helper()
	return start(tb, "storm 4 -1")
}

// Main is the TestMain of a package that uses Sleep, Spin or Storm.
func Main(m *testing.M) {
	job, ok := os.LookupEnv(env)
	if !ok {
		os.Exit(m.Run())
	}
	if err := child(job); err != nil {
		fmt.Fprintln(os.Stderr, "threads:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func start(tb testing.TB, job string) *Group {
	tb.Helper()
	cmd := exec.Command("/proc/self/exe")
	// Signals that preempt spinning goroutines would only disturb what is measured.
	cmd.Env = append(os.Environ(), env+"="+job, "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	stop := func() {
		_ = in.Close() // the child ends at the end of its input, also if this test is killed
		_ = cmd.Wait()
	}
	tb.Cleanup(stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("%s: child did not start: %v", job, err)
	}
	g := &Group{PID: cmd.Process.Pid, Stop: stop}
	for f := range strings.FieldsSeq(line) {
		tid, err := strconv.Atoi(f)
		if err != nil {
			tb.Fatal(err)
		}
		g.TIDs = append(g.TIDs, tid)
	}
	return g
}

// stopped stays false: a condition that vet cannot see through.
var stopped atomic.Bool

// child runs the job until its standard input ends.
func child(job string) error {
	var kind string
	var n, cpu int
	if _, err := fmt.Sscanf(job, "%s %d %d", &kind, &n, &cpu); err != nil {
		return fmt.Errorf("job %q: %w", job, err)
	}
	debug.SetMaxThreads(n + 1000)
	if kind == "storm" {
		debug.SetGCPercent(100) // it makes garbage all the time
		fmt.Println(os.Getpid())
		for range n {
			go storm()
		}
		go forks()
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	if kind == "spin" {
		runtime.GOMAXPROCS(n + 2) // each spinner keeps a P for good
	}
	tids := make(chan int)
	for range n {
		go thread(kind == "spin", cpu, tids)
	}
	w := bufio.NewWriter(os.Stdout)
	var all []int
	for range n {
		tid := <-tids
		if tid < 0 {
			return fmt.Errorf("set the affinity to cpu %d: %w", cpu, unix.Errno(-tid))
		}
		all = append(all, tid)
		fmt.Fprintf(w, "%d ", tid)
	}
	if kind == "sleep" {
		if err := asleep(all); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// storm has threads come and go.
func storm() {
	for {
		var some sync.WaitGroup
		for range 8 {
			some.Go(func() {
				runtime.LockOSThread() // for good: the thread ends with the goroutine
				for end := time.Now().Add(200 * time.Microsecond); time.Now().Before(end); {
					continue
				}
				time.Sleep(100 * time.Microsecond)
			})
		}
		some.Wait()
	}
}

// forks has processes come and go.
func forks() {
	for {
		_ = exec.Command("/bin/true").Run()
		time.Sleep(time.Millisecond)
	}
}

// thread locks itself to an OS thread, reports its tid, and spins or sleeps.
// A locked goroutine that blocks on a channel has its thread sleep in futex(2).
func thread(spin bool, cpu int, tids chan<- int) {
	runtime.LockOSThread()
	if cpu >= 0 {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			tids <- -int(err.(unix.Errno))
			return
		}
	}
	tids <- unix.Gettid()
	reported.Add(1)
	for spin {
		spin = !stopped.Load()
	}
	select {}
}

// reported counts the threads past their last wake-up.
var reported atomic.Int64

// asleep waits until threads of this process sleep for good: a thread that
// waits for its id to be taken sleeps too, and is about to be woken.
func asleep(tids []int) error {
	for int(reported.Load()) < len(tids) {
		time.Sleep(time.Millisecond)
	}
	for _, tid := range tids {
		for {
			line, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
			if err != nil {
				return err
			}
			if bytes.Contains(line, []byte(") S ")) { // proc_pid_stat(5)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
