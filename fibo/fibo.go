// SPDX-License-Identifier: Apache-2.0

// Package fibo is the thread storm of the paper (Chen et al., APSys '20,
// section 5): Fibonacci numbers by naive recursion where each call spawns two
// threads and joins them.
//
// A call is one kernel thread of its own, made by clone with the flags of
// pthread_create and ended by exit; no pool stands between. Go's own threads
// cannot do that: its runtime makes and wakes them as it sees fit. So the calls
// run a few instructions of assembly on one page each, and never enter Go:
//
//	fib(n):  n < 2: result n
//	         clone fib(n-1); clone fib(n-2); futex-wait for both; add
package fibo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/internal/number"
)

// MaxN is the largest N: 2,692,536 threads.
const MaxN = 30

// page is what a call has for its frame and its stack.
const page = 4096

// frame is one call. The assembly knows the offsets, and a test checks them.
type frame struct {
	n      uint64
	result uint64
	tid    int32 // the kernel writes it: CLONE_PARENT_SETTID
	alive  int32 // the kernel clears it when the thread is gone: CLONE_CHILD_CLEARTID
	errno  int32 // of the clone that should have run this call
	_      int32
	arena  *arena
	left   *frame
	right  *frame
}

// arena hands out frames.
type arena struct {
	next uint64  // frames taken
	base uintptr // of the first frame
}

// Result is what a run did.
type Result struct {
	N       int
	Value   uint64 // the Nth Fibonacci number
	Threads int    // made and joined, one for each call
	TIDs    int    // different ones among them: fewer if the kernel came round to the same numbers
	Times   int    // it was done
}

// String is what a run prints.
func (r Result) String() string {
	return fmt.Sprintf("fibo %d: %d by %s, made and joined %s", r.N, r.Value, number.Of(r.Threads, "thread"), number.Of(r.Times, "time"))
}

// Repeat runs fib(n) so many times, one after the other.
func Repeat(ctx context.Context, n, times int) (Result, error) {
	if times < 1 {
		return Result{}, fmt.Errorf("%d times, want 1 or more", times)
	}
	var last Result
	for i := range times {
		r, err := Run(n)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return Result{}, err
		}
		last, last.Times = r, i+1
	}
	return last, nil
}

// Threads returns how many calls fib(n) makes, its own among them: twice the
// n+1st Fibonacci number, less one.
func Threads(n int) int { return 2*int(Value(n+1)) - 1 }

// Value returns the nth Fibonacci number.
func Value(n int) uint64 {
	a, b := uint64(0), uint64(1)
	for range n {
		a, b = b, a+b
	}
	return a
}

// Run computes the nth Fibonacci number and checks all that the kernel says of
// its threads. It fails where the threads were not allowed, could be more than
// the limits of this host, or were not exactly Threads(n).
func Run(n int) (Result, error) {
	if n < 0 || n > MaxN {
		return Result{}, fmt.Errorf("number %d is not in 0..%d", n, MaxN)
	}
	calls := Threads(n)
	if err := allowed("/", calls); err != nil {
		return Result{}, fmt.Errorf("fib(%d): %w", n, err)
	}
	// One frame more: were a call to be made too often, it would show, not crash.
	memory, err := unix.Mmap(-1, 0, (calls+2)*page, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return Result{}, fmt.Errorf("fib(%d): map %d pages: %w", n, calls+2, err)
	}
	a := (*arena)(unsafe.Pointer(&memory[0]))
	a.next, a.base = 1, uintptr(unsafe.Pointer(&memory[page]))
	root := (*frame)(unsafe.Pointer(&memory[page]))
	root.n, root.arena, root.alive = uint64(n), a, 1
	if err := launch(root); err != nil {
		return Result{}, fmt.Errorf("fib(%d): %w", n, errors.Join(err, unix.Munmap(memory)))
	}
	result, err := verify(n, a, memory[page:])
	return result, errors.Join(err, unix.Munmap(memory))
}

// launch runs the first call and waits for it. The threads of the calls block
// every signal, since Go could not handle one on them.
func launch(root *frame) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, before := unix.Sigset_t{}, unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	tid := start(root)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
		return fmt.Errorf("unblock signals: %w", err)
	}
	if tid < 0 {
		return refused(unix.Errno(-tid), 0)
	}
	for {
		alive := atomic.LoadInt32(&root.alive)
		if alive == 0 {
			return nil
		}
		const futexWait = 0 // not private: the kernel's wake at exit is not
		_, _, e := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&root.alive)), futexWait, uintptr(alive), 0, 0, 0)
		if e != 0 && e != unix.EAGAIN && e != unix.EINTR {
			return fmt.Errorf("wait for the first thread: %w", e)
		}
	}
}

// verify reads the frames that the calls left behind.
func verify(n int, a *arena, frames []byte) (Result, error) {
	r := Result{N: n, Threads: int(a.next), Times: 1}
	tids := make(map[int32]struct{}, r.Threads)
	for i := range min(r.Threads, len(frames)/page) {
		f := (*frame)(unsafe.Pointer(&frames[i*page]))
		switch {
		case f.errno != 0:
			return Result{}, fmt.Errorf("fib(%d): %w", n, refused(unix.Errno(f.errno), i))
		case f.tid <= 0 || f.alive != 0:
			return Result{}, fmt.Errorf("fib(%d): thread %d (tid %d) was not made, or has not ended", n, i, f.tid)
		case f.result != Value(int(f.n)):
			return Result{}, fmt.Errorf("fib(%d): thread %d says that fib(%d) is %d", n, i, f.n, f.result)
		}
		tids[f.tid] = struct{}{}
	}
	if r.Threads != Threads(n) {
		return Result{}, fmt.Errorf("fib(%d): %d threads, want %d", n, r.Threads, Threads(n))
	}
	r.Value, r.TIDs = (*frame)(unsafe.Pointer(&frames[0])).result, len(tids)
	return r, nil
}

func refused(errno unix.Errno, index int) error {
	return fmt.Errorf("thread %d: clone: %w (every thread of the host counts to %s)", index, errno, describe(limits("/")))
}
