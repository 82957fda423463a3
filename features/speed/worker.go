// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// worker is the built-in Source. It does a fixed amount of work on the CPU, and takes
// the CPU time of its thread for that. The wait in the runqueue is no part of it, but
// all that the kernel does not know of is: a busy SMT sibling, a lower frequency,
// stolen time that nobody reports. The work is too short to meet a host that takes the
// CPU away for milliseconds at a time. That shows when the thread wakes up: as its slice
// is the shortest that there is, it runs at once, if the CPU is there.
type worker struct {
	tid    int
	rounds int
	narrow bool     // somebody narrowed mllb's own mask: other CPUs are not looked at
	delay  *os.File // schedstat of the thread, or nil
	work   workload
	spent  time.Duration // CPU time of the thread when the last look ended
	buf    [96]byte
	stop   chan struct{}

	mu      sync.Mutex  // of the mask: a Free that comes late must not undo a Close
	mask    unix.CPUSet // what to give the thread back
	freed   bool        // since the look began
	stopped bool
	closed  bool
}

// slice is the shortest that the kernel takes (SCHED_OTHER, Linux 6.12, 857b158dc5e8).
const slice = 100 * time.Microsecond

// newWorker makes the source of the calling thread, which has to be locked. online is
// how many CPUs a mask has that nobody narrowed.
func newWorker(rounds, online int) (*worker, error) {
	w := &worker{tid: unix.Gettid(), rounds: rounds, work: workload{1, 2, 3, 4}, stop: make(chan struct{})}
	if err := unix.SchedGetaffinity(0, &w.mask); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	if w.narrow = w.mask.Count() < online; !w.narrow {
		w.mask.Fill() // also what comes online later
	}
	// Older kernels ignore it, and it may be refused: then it waits more often.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Runtime: uint64(slice)}, 0)
	w.delay, _ = os.Open("/proc/thread-self/schedstat") // without, lateness is not known
	w.spent = threadTime()
	return w, nil
}

// Sample implements Source. The thread sleeps as goroutines do: a system call that
// blocks costs the Go runtime far more CPU time, in which it looks after the thread.
func (w *worker) Sample(l Look) (s Sample, err error) {
	defer func() {
		now := threadTime()
		s.Cost, w.spent = now-w.spent, now
	}()
	if err := w.hop(l.CPU); err != nil {
		return Sample{}, err
	}
	waited, known := w.waited()
	select {
	case <-w.stop:
		return Sample{}, ErrStopped
	case <-time.After(l.After):
	}
	s.Late = -1
	if again, ok := w.waited(); known && ok {
		s.Late = again - waited
	}
	if l.Work {
		began := threadTime()
		w.work.do(w.rounds)
		s.Rate = float64(w.rounds) / max(threadTime()-began, 1).Seconds()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.freed {
		err = errMoved
	}
	return s, err
}

// hop has the thread run on a CPU.
func (w *worker) hop(cpu int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freed = false
	if w.stopped {
		return ErrStopped
	}
	if w.narrow && !w.mask.IsSet(cpu) {
		return ErrNoCPU
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("%w: %w", ErrNoCPU, err)
	}
	return nil
}

// waited returns for how long the thread waited in runqueues so far (the second number
// of schedstat, Documentation/scheduler/sched-stats.rst).
func (w *worker) waited() (time.Duration, bool) {
	if w.delay == nil {
		return 0, false
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, w.delay.Fd(), uintptr(unsafe.Pointer(&w.buf[0])), uintptr(len(w.buf)), 0, 0, 0)
	if errno != 0 {
		return 0, false
	}
	fields := bytes.Fields(w.buf[:n])
	if len(fields) < 2 {
		return 0, false
	}
	ns, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(ns), err == nil
}

// Free implements Source.
func (w *worker) Free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.freed = true
		_ = unix.SchedSetaffinity(w.tid, &w.mask)
	}
}

// Stop implements Source.
func (w *worker) Stop() {
	w.mu.Lock()
	if !w.stopped {
		w.stopped = true
		close(w.stop)
	}
	w.mu.Unlock()
	w.Free()
}

// Close implements Source.
func (w *worker) Close() error {
	w.Free()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.delay == nil {
		return nil
	}
	return w.delay.Close()
}

// workload is the state of four generators (Marsaglia, Xorshift RNGs, 2003). None
// waits for another, so that a core always has four operations to do, and a sibling
// that is busy is felt.
type workload [4]uint64

// do does the work. It is no part of another function, so that it is the same
// instructions wherever it is called.
//
//go:noinline
func (w *workload) do(rounds int) {
	a, b, c, d := w[0], w[1], w[2], w[3]
	for range rounds {
		a, b, c, d = a^a<<13, b^b<<13, c^c<<13, d^d<<13
		a, b, c, d = a^a>>7, b^b>>7, c^c>>7, d^d>>7
		a, b, c, d = a^a<<17, b^b<<17, c^c<<17, d^d<<17
	}
	w[0], w[1], w[2], w[3] = a, b, c, d
}

// workTime is about how long the work of a look takes.
const workTime = 150 * time.Microsecond

// Probe looks once at a CPU on which the caller may run.
func Probe() (s Sample, err error) {
	done := make(chan struct{})
	go onOwnThread(func() {
		defer close(done)
		var w *worker
		if w, err = newWorker(calibrate(), topology.MaxCPUs); err != nil { // its mask as it is
			return
		}
		cpu := 0
		for !w.mask.IsSet(cpu) && cpu < topology.MaxCPUs {
			cpu++
		}
		s, err = w.Sample(Look{CPU: cpu, After: time.Millisecond, Work: true})
		err = errors.Join(err, w.Close())
	})
	<-done
	return s, err
}

// calibrate returns how many rounds of work take workTime here. Of several tries it
// believes the fastest.
func calibrate() int {
	runtime.LockOSThread() // whose CPU time it takes
	defer runtime.UnlockOSThread()
	const rounds, tries = 5000, 16
	w := workload{1, 2, 3, 4}
	best := time.Hour
	for range tries {
		began := threadTime()
		w.do(rounds)
		best = min(best, max(threadTime()-began, 1))
	}
	return max(100, int(rounds*workTime/best))
}

// threadTime is the CPU time of the calling thread. The runtime is not told of the
// system call, which blocks nothing.
func threadTime() time.Duration {
	var t unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
