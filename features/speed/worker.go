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

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// worker is the built-in Source. It does a fixed amount of work on the CPU, and takes
// the CPU time of its thread for that. The wait in the runqueue is no part of it, but
// all that the kernel does not know of is: a busy SMT sibling, a lower frequency,
// stolen time that nobody reports. The work is too short to meet a host that takes the
// CPU away for milliseconds at a time. That shows in the sleep before it: the interrupt
// that ends it is late as often as the CPU is away. The timer is the CPU's own, as a
// thread that runs there arms it (get_nohz_timer_target, kernel/sched/core.c).
type worker struct {
	tid    int
	rounds int
	narrow bool     // somebody narrowed mllb's own mask: other CPUs are not looked at
	delay  *os.File // schedstat of the thread, or nil
	work   workload
	spent  time.Duration // CPU time of the thread when the last look ended
	buf    [96]byte
	poll   [1]unix.PollFd

	mu     sync.Mutex  // of the mask: a Free that comes late must not undo a Close
	mask   unix.CPUSet // what to give the thread back
	freed  bool        // since the look began
	closed bool
	wake   int // eventfd: Stop
}

// newWorker makes the source of the calling thread, which has to be locked. online is
// how many CPUs a mask has that nobody narrowed.
func newWorker(rounds, online int) (*worker, error) {
	w := &worker{tid: unix.Gettid(), rounds: rounds, work: workload{1, 2, 3, 4}}
	if err := unix.SchedGetaffinity(0, &w.mask); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	if w.narrow = w.mask.Count() < online; !w.narrow {
		w.mask.Fill() // also what comes online later
	}
	// The timer is to fire when it is due, not up to 50 us later.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("set timer slack: %w", err)
	}
	var err error
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w.poll[0] = unix.PollFd{Fd: int32(w.wake), Events: unix.POLLIN}
	w.delay, _ = os.Open("/proc/thread-self/schedstat") // without, lateness is not known
	w.spent = threadTime()
	return w, nil
}

// Sample implements Source.
func (w *worker) Sample(l Look) (s Sample, err error) {
	defer func() {
		now := threadTime()
		s.Cost, w.spent = now-w.spent, now
	}()
	if err := w.hop(l.CPU); err != nil {
		return Sample{}, err
	}
	waited, known := w.waited()
	due := monotonic() + l.After
	if err := w.sleep(due); err != nil {
		return Sample{}, err
	}
	s.Late = monotonic() - due
	if again, ok := w.waited(); known && ok {
		s.Late = max(0, s.Late-(again-waited))
	} else {
		s.Late = -1
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

// sleep waits on the CPU on which the thread is.
func (w *worker) sleep(due time.Duration) error {
	for {
		t := unix.NsecToTimespec(int64(max(0, due-monotonic())))
		n, err := unix.Ppoll(w.poll[:], &t, nil)
		switch {
		case n > 0:
			return ErrStopped
		case err == nil:
			return nil
		case err != unix.EINTR:
			return fmt.Errorf("ppoll: %w", err)
		}
	}
}

// waited returns for how long the thread waited in runqueues so far (the second number
// of schedstat, Documentation/scheduler/sched-stats.rst).
func (w *worker) waited() (time.Duration, bool) {
	if w.delay == nil {
		return 0, false
	}
	n, _ := w.delay.ReadAt(w.buf[:], 0) // EOF comes with what there is
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
	if !w.closed {
		_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
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
	if w.delay != nil {
		_ = w.delay.Close()
	}
	return unix.Close(w.wake)
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

func monotonic() time.Duration { return clock(unix.CLOCK_MONOTONIC) }

func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // fails only for a clock that does not exist
	return time.Duration(t.Nano())
}
