// SPDX-License-Identifier: Apache-2.0

package fibo

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestFrame holds the offsets that the assembly is written to.
func TestFrame(t *testing.T) {
	var f frame
	var a arena
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"n", unsafe.Offsetof(f.n), 0}, {"result", unsafe.Offsetof(f.result), 8}, {"tid", unsafe.Offsetof(f.tid), 16},
		{"alive", unsafe.Offsetof(f.alive), 20}, {"errno", unsafe.Offsetof(f.errno), 24}, {"arena", unsafe.Offsetof(f.arena), 32},
		{"left", unsafe.Offsetof(f.left), 40}, {"right", unsafe.Offsetof(f.right), 48},
		{"next", unsafe.Offsetof(a.next), 0}, {"base", unsafe.Offsetof(a.base), 8},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is at %d, the assembly says %d", tt.name, tt.got, tt.want)
		}
	}
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		n, threads int
		value      uint64
	}{{0, 1, 0}, {1, 1, 1}, {2, 3, 1}, {3, 5, 2}, {4, 9, 3}, {10, 177, 55}, {15, 1973, 610}} {
		r, err := Run(tt.n)
		if err != nil {
			t.Fatal(err)
		}
		// Numbers come round only after the kernel has given out all others.
		if r != (Result{tt.n, tt.value, tt.threads, tt.threads, 1}) {
			t.Errorf("fibo %d: %+v, want %d from %d threads", tt.n, r, tt.value, tt.threads)
		}
	}
}

func TestRepeat(t *testing.T) {
	r, err := Repeat(t.Context(), 5, 3)
	if err != nil || r.Times != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if got, want := r.String(), "fibo 5: 5 by 15 threads, made and joined 3 times"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := Repeat(t.Context(), 5, 0); err == nil {
		t.Error("no times are as good as one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Repeat(ctx, 5, 1000); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestKernelCounts has the kernel count the threads made by this one and by
// what it makes. Go's own are made by others.
func TestKernelCounts(t *testing.T) {
	const event = "events/sched/sched_process_fork/id"
	id, err := os.ReadFile("/sys/kernel/tracing/" + event)
	if err != nil {
		id, err = os.ReadFile("/sys/kernel/debug/tracing/" + event)
	}
	if err != nil {
		t.Skip(err)
	}
	config, err := strconv.ParseUint(strings.TrimSpace(string(id)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: config, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 1, Bits: unix.PerfBitInherit}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	count := func() uint64 {
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			t.Fatal(err)
		}
		return binary.NativeEndian.Uint64(b[:])
	}
	for _, n := range []int{0, 7, 13} {
		before := count()
		if _, err := Run(n); err != nil {
			t.Fatal(err)
		}
		made := count() - before
		if made != uint64(Threads(n)) {
			t.Errorf("fibo %d: the kernel made %d threads, want %d", n, made, Threads(n))
		}
	}
}

// TestNoneLeft checks that the threads are gone, and that signals reach this
// one as before.
func TestNoneLeft(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mask := func() (m unix.Sigset_t) {
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := mask()
	if _, err := Run(12); err != nil { // 465 threads
		t.Fatal(err)
	}
	if mask() != before {
		t.Error("signals are still blocked")
	}
	alive := 0
	for range 100 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		if alive = len(tasks); alive < 100 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d threads are left", alive)
}

// TestVerify tampers with what a run left, and must be told so.
func TestVerify(t *testing.T) {
	run := func(change func(*arena, []frame3)) error {
		memory := make([]uint64, 4*page/8) // an arena and the three frames of fib(2)
		bytes := unsafe.Slice((*byte)(unsafe.Pointer(&memory[0])), 4*page)
		a := (*arena)(unsafe.Pointer(&bytes[0]))
		a.next = 3
		var frames []frame3
		for i, n := range []uint64{2, 1, 0} {
			f := (*frame)(unsafe.Pointer(&bytes[(1+i)*page]))
			f.n, f.result, f.tid = n, Value(int(n)), int32(100+i)
			frames = append(frames, frame3{f})
		}
		change(a, frames)
		_, err := verify(2, a, bytes[page:])
		return err
	}
	for _, tt := range []struct {
		want   string
		change func(*arena, []frame3)
	}{
		{"", func(*arena, []frame3) {}},
		{"", func(_ *arena, f []frame3) { f[2].tid = f[1].tid }}, // the kernel came round
		{"2 threads, want 3", func(a *arena, _ []frame3) { a.next = 2 }},
		{"4 threads, want 3", func(a *arena, _ []frame3) { a.next = 4 }},
		{"thread 1 (tid 0) was not made", func(_ *arena, f []frame3) { f[1].tid = 0 }},
		{"has not ended", func(_ *arena, f []frame3) { f[2].alive = 1 }},
		{"thread 0 says that fib(2) is 7", func(_ *arena, f []frame3) { f[0].result = 7 }},
		{"thread 2: clone: resource temporarily unavailable", func(_ *arena, f []frame3) { f[2].errno = int32(unix.EAGAIN) }},
	} {
		err := run(tt.change)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

type frame3 struct{ *frame }

func TestOutOfRange(t *testing.T) {
	for _, n := range []int{-1, MaxN + 1} {
		if _, err := Run(n); err == nil || !strings.Contains(err.Error(), "not in 0..30") {
			t.Errorf("N %d: %v", n, err)
		}
	}
}

// TestAllowed reads limits of a fixture host.
func TestAllowed(t *testing.T) {
	const v2, v1 = "20 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "20 1 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	for _, tt := range []struct {
		name, want string
		files      map[string]string
	}{
		{"none", "", nil},
		{"enough", "", map[string]string{"proc/sys/kernel/threads-max": "100\n", "sys/fs/cgroup/a/pids.max": "max\n", "proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a\n"}},
		{"threads-max", "kernel.threads-max is 99", map[string]string{"proc/sys/kernel/threads-max": "99\n"}},
		{"pid_max", "kernel.pid_max is 50", map[string]string{"proc/sys/kernel/pid_max": "50\n"}},
		{"v2 parent", "/sys/fs/cgroup/a is 10", map[string]string{"sys/fs/cgroup/a/pids.max": "10\n", "sys/fs/cgroup/a/b/pids.max": "max\n", "proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a/b\n"}},
		{"v1", "/sys/fs/cgroup/pids/x is 11", map[string]string{"sys/fs/cgroup/pids/x/pids.max": "11\n", "proc/self/mountinfo": v1, "proc/self/cgroup": "8:pids:/x\n3:cpu:/y\n0::/\n"}},
	} {
		root := t.TempDir()
		for path, text := range tt.files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := allowed(root, 100)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
