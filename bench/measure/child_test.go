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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features/bpf"
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

// workload is a process that has not begun yet: a shell that waits for a line
// and then becomes the test binary, with its job.
type workload struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newWorkload(t testing.TB, job string) *workload {
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
func newSpin(t testing.TB, n, cpu int) *workload {
	t.Helper()
	w := newWorkload(t, fmt.Sprintf("spin %d %d", n, cpu))
	w.begin()
	if _, err := w.out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return w
}

// end kills it.
func (w *workload) end() {
	w.t.Helper()
	if err := w.cmd.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	_ = w.cmd.Wait() // by a signal
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
func open(t testing.TB) *Sampler {
	t.Helper()
	s, err := Open(slog.New(slog.NewTextHandler(t.Output(), nil)))
	for _, why := range []error{bpf.ErrNoBTF, bpf.ErrNoGroupSched, bpf.ErrNamespace, unix.EPERM} {
		if errors.Is(err, why) {
			t.Skip(err)
		}
	}
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

func start(t testing.TB, s *Sampler, o Options) {
	t.Helper()
	if err := s.Start(o); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, s *Sampler) *Sample {
	t.Helper()
	m, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func host(t testing.TB) *topology.Topology {
	t.Helper()
	top, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	return top
}
