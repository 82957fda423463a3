// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func openTracer(t *testing.T, limits forkLimits) *Forks {
	t.Helper()
	f, err := openForks(limits)
	skipUnless(t, err)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

var usual = forkLimits{held: 1 << 10, ring: 1 << 16}

// waiting is a shell that reads a line before it runs its script, so that it
// can be tracked first.
type waiting struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func shell(t *testing.T, script string) *waiting {
	t.Helper()
	return start(t, exec.Command("/bin/sh", "-c", "read x; "+script))
}

func start(t *testing.T, cmd *exec.Cmd) *waiting {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return &waiting{cmd, in, bufio.NewReader(out)}
}

// finish lets the shell go on, and returns its output when it has ended.
func (w *waiting) finish(t *testing.T) string {
	t.Helper()
	if _, err := io.WriteString(w.in, "\n"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(w.out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// drain reads what is there: forks are in the ring before fork(2) returns.
func drain(t *testing.T, f *Forks) []Fork {
	t.Helper()
	f.reader.SetDeadline(time.Now())
	defer f.reader.SetDeadline(time.Time{})
	var forks []Fork
	for {
		fork, err := f.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return forks
		}
		if err != nil {
			t.Fatal(err)
		}
		forks = append(forks, fork)
	}
}

func wantLost(t *testing.T, f *Forks, want uint64) {
	t.Helper()
	if n, err := f.Lost(); err != nil || n != want {
		t.Errorf("%d forks lost, %v; want %d", n, err, want)
	}
}

func wantTracked(t *testing.T, f *Forks, tid int32, want bool) {
	t.Helper()
	var v uint32
	err := f.objs.Held.Lookup(tid, &v)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Fatal(err)
	}
	if got := err == nil; got != want {
		t.Errorf("thread %d: tracked %v, want %v", tid, got, want)
	}
}

// TestForkTree has each process of a tree of shells print its parent and
// itself: the events are exactly these, and nothing stays tracked.
func TestForkTree(t *testing.T) {
	f := openTracer(t, usual)
	other := shell(t, ": ; (:) ; :") // not tracked: its forks are nobody's business
	sh := shell(t, `
		sh -c 'echo $PPID $$; sh -c "echo \$PPID \$\$; :"; sh -c "echo \$PPID \$\$; :"; :'
		sh -c 'echo $PPID $$; :' & wait; :`)
	if err := f.Track(int32(sh.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	other.finish(t)
	printed := map[string]bool{}
	for line := range strings.Lines(sh.finish(t)) {
		printed[strings.TrimSpace(line)] = true
	}
	forks := drain(t, f)
	if len(printed) != 4 || len(forks) != 4 {
		t.Errorf("%d processes printed, %d forks seen, want 4: %v %+v", len(printed), len(forks), printed, forks)
	}
	for _, fork := range forks {
		if !printed[fmt.Sprint(fork.Parent, fork.Child)] || fork.TGID != fork.Child || fork.Start == 0 {
			t.Errorf("%+v is none of %v", fork, printed)
		}
		wantTracked(t, f, fork.Child, false)
	}
	wantTracked(t, f, int32(sh.Process.Pid), false)
	wantLost(t, f, 0)
}

// TestForkThreads tracks this process, whose new threads and their start times
// then appear.
func TestForkThreads(t *testing.T) {
	f := openTracer(t, usual)
	before, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range before {
		var tid int32
		if _, err := fmt.Sscan(e.Name(), &tid); err != nil {
			t.Fatal(err)
		}
		if err := f.Track(tid); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	defer close(stop)
	tids := make(chan int)
	started := map[int32]bool{}
	for range len(before) + 3 { // more than there are: some must be new
		go func() { runtime.LockOSThread(); tids <- unix.Gettid(); <-stop }()
		started[int32(<-tids)] = true
	}
	fresh := 0
	for _, fork := range drain(t, f) {
		if fork.TGID != int32(os.Getpid()) {
			t.Errorf("%+v is not of this process", fork)
		}
		if p, err := stat(os.Getpid(), int(fork.Child)); err == nil && p.Start != fork.Start {
			t.Errorf("thread %d started at %d, the event says %d", fork.Child, p.Start, fork.Start)
		}
		if started[fork.Child] {
			fresh++
			wantTracked(t, f, fork.Child, true)
		}
	}
	if fresh < 3 {
		t.Errorf("%d of the new threads seen, want at least 3", fresh)
	}
}

func TestUntrack(t *testing.T) {
	f := openTracer(t, usual)
	sh := shell(t, "(:) ; :")
	for range 2 { // twice: the second finds nothing
		if err := f.Track(int32(sh.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := f.Untrack(int32(sh.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	sh.finish(t)
	if forks := drain(t, f); len(forks) != 0 {
		t.Errorf("forks of a thread no longer tracked: %+v", forks)
	}
}

// TestForksLost fills the ring (one page, 32 bytes a fork), then the map.
func TestForksLost(t *testing.T) {
	const n = 200
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do (:); i=$((i+1)); done", n)
	for _, tt := range []struct {
		name   string
		limits forkLimits
	}{
		{"ring", forkLimits{held: 1 << 10, ring: uint32(os.Getpagesize())}},
		{"map", forkLimits{held: 1, ring: 1 << 16}},
	} {
		f := openTracer(t, tt.limits)
		sh := shell(t, script)
		if err := f.Track(int32(sh.Process.Pid)); err != nil {
			t.Fatal(err)
		}
		sh.finish(t)
		seen := len(drain(t, f))
		lost, err := f.Lost()
		if err != nil || lost == 0 || seen+int(lost) != n {
			t.Errorf("%s: %d seen and %d lost of %d, %v", tt.name, seen, lost, n, err)
		}
	}
}

// TestExecFromThread has a thread that does not lead its process exec: it goes
// on under the leader's id, and so does its tracking.
func TestExecFromThread(t *testing.T) {
	const env = "MLLB_TEST_EXEC"
	if os.Getenv(env) != "" {
		execFromThread()
	}
	f := openTracer(t, usual)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestExecFromThread$")
	cmd.Env = append(os.Environ(), env+"=1")
	w := start(t, cmd)
	var tid int32
	if _, err := fmt.Fscanln(w.out, &tid); err != nil {
		t.Fatal(err)
	}
	if err := f.Track(tid); err != nil {
		t.Fatal(err)
	}
	w.finish(t)
	var forks []Fork
	for _, fork := range drain(t, f) {
		if fork.TGID == fork.Child { // not a thread that the Go runtime started before the exec
			forks = append(forks, fork)
		}
	}
	pid := int32(w.Process.Pid)
	if tid == pid || len(forks) != 1 || forks[0].Parent != pid {
		t.Errorf("thread %d of process %d: forks after exec %+v", tid, pid, forks)
	}
	wantTracked(t, f, tid, false)
	wantTracked(t, f, pid, false)
}

func execFromThread() {
	done := make(chan struct{})
	for range 2 { // both are locked to threads: at least one does not lead
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == os.Getpid() {
				select {}
			}
			done <- struct{}{}
			fmt.Println(unix.Gettid())
			if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
				os.Exit(1)
			}
			fmt.Fprintln(os.Stderr, syscall.Exec("/bin/sh", []string{"sh", "-c", "(:) ; :"}, nil))
			os.Exit(1)
		}()
	}
	<-done
	select {}
}

func TestForksClose(t *testing.T) {
	f := openTracer(t, usual)
	result := make(chan error)
	go func() {
		_, err := f.Read()
		result <- err
	}()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a read ended by Close: %v", err)
	}
}

// TestForgetTypes loads programs before and after the kernel's types are dropped.
func TestForgetTypes(t *testing.T) {
	for range 2 {
		openTracer(t, usual)
		if kernelTypes.cache == nil {
			t.Error("the kernel's types are not shared")
		}
		ForgetTypes()
		if kernelTypes.cache != nil {
			t.Error("the kernel's types are kept")
		}
	}
}
