// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// jobEnv makes the test binary a workload instead: one of jobs, and its numbers.
const jobEnv = "MLLB_MEASURE_JOB"

func TestMain(m *testing.M) {
	job, ok := os.LookupEnv(jobEnv)
	if !ok {
		os.Exit(m.Run())
	}
	name, args, _ := strings.Cut(job, " ")
	var a, b int
	_, _ = fmt.Sscan(args, &a, &b)
	if err := jobs[name](a, b); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

var jobs = map[string]func(a, b int) error{"tree": growTree, "hop": hop, "burn": burnThreads, "spin": spin, "nap": nap, "cost": costs}

// costs forks, ends and migrates threads.
func costs(a, b int) error {
	if err := growTree(1, 20); err != nil {
		return err
	}
	return hop(a, b)
}

// nap has n threads burn up to ms and sleep as long in turn, until its input
// ends.
func nap(n, ms int) error {
	for i := range n {
		go func() {
			runtime.LockOSThread()
			for k := 0; ; k++ {
				d := time.Duration(1+(i+k)%ms) * time.Millisecond
				for end := time.Now().Add(d); time.Now().Before(end); {
				}
				time.Sleep(d)
			}
		}()
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// spin has n threads spin on a CPU, or on any if it is below 0, from when it
// says so until its input ends.
func spin(n, cpu int) error {
	runtime.GOMAXPROCS(n + 2)
	ready := make(chan error)
	for range n {
		go func() {
			runtime.LockOSThread()
			var err error
			if cpu >= 0 {
				err = pin(cpu)
			}
			for ready <- err; ; {
			}
		}()
	}
	for range n {
		if err := <-ready; err != nil {
			return err
		}
	}
	fmt.Println("spinning")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err // main exits, whatever spins
}

// growTree has itself and processes below it, to the given depth, burn CPU time
// in threads of their own.
func growTree(depth, threads int) error {
	if depth > 0 {
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), fmt.Sprintf("%s=tree %d %d", jobEnv, depth-1, threads))
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		defer func() { _ = child.Wait() }()
	}
	return burnThreads(threads, 30)
}

// burnThreads has n threads of their own burn ms of CPU time each and end.
func burnThreads(n, ms int) error {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
			for threadTime() < time.Duration(ms)*time.Millisecond {
			}
		})
	}
	all.Wait()
	return nil
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// hops is how often hop changes the CPU.
const hops = 50

// hop goes from one CPU to another and back.
func hop(a, b int) error {
	runtime.LockOSThread()
	for i := range hops {
		if err := pin([]int{a, b}[i%2]); err != nil {
			return err
		}
	}
	return nil
}

func pin(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return unix.SchedSetaffinity(0, &set)
}

// workload is a process that has not begun yet: a shell that waits for a line
// and then becomes the test binary, with its job.
type workload struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newWorkload(t *testing.T, job string) *workload {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `read line; exec "$0"`, "/proc/self/exe")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[3] = exe
	cmd.Env, cmd.Stderr = append(os.Environ(), jobEnv+"="+job, "GODEBUG=asyncpreemptoff=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &workload{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	w.asleep()
	return w
}

// asleep waits until the shell waits for its line.
func (w *workload) asleep() {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", w.cmd.Process.Pid))
		if err == nil && strings.Contains(string(b), "pipe") {
			return
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
		if err == nil && strings.Contains(string(text), "(sh) S ") {
			return
		}
	}
	w.t.Fatal("the shell does not wait for its line")
}

// newSpin returns a workload that spins.
func newSpin(t *testing.T, n, cpu int) *workload {
	t.Helper()
	w := newWorkload(t, fmt.Sprintf("spin %d %d", n, cpu))
	w.begin()
	if _, err := w.out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *workload) pid() int { return w.cmd.Process.Pid }

func (w *workload) begin() {
	w.t.Helper()
	if _, err := io.WriteString(w.in, "go\n"); err != nil {
		w.t.Fatal(err)
	}
}

// wait returns what it and all that it waited for used.
func (w *workload) wait() *unix.Rusage {
	w.t.Helper()
	var status unix.WaitStatus
	var ru unix.Rusage
	for {
		_, err := unix.Wait4(w.pid(), &status, 0, &ru)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			w.t.Fatal(err)
		}
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		w.t.Fatalf("the workload ended with status %#x", status)
	}
	return &ru
}

// open opens a sampler by eBPF or skips, by name, where that is not allowed.
func open(t *testing.T) *Sampler {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_BPF and CAP_PERFMON: run as root")
	}
	s, err := Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func start(t *testing.T, s *Sampler, o Options) {
	t.Helper()
	if err := s.Start(o); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, s *Sampler) *Sample {
	t.Helper()
	m, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func host(t *testing.T) *topology.Topology {
	t.Helper()
	top, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	return top
}
