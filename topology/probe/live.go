// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// patience is how long a thread may wait for a CPU that gives it no time, and
// farewell how long at the end.
const (
	patience = 10 * time.Second
	farewell = 200 * time.Millisecond
)

// Live is this host. Its threads, one for each CPU, are pinned; they end with
// Close, and nothing else is changed.
type Live struct {
	workers  map[int]*worker
	maxProcs int
}

// OpenLive prepares to measure this host.
func OpenLive() (*Live, error) {
	l := &Live{workers: make(map[int]*worker)}
	cpus, err := l.CPUs()
	if err != nil {
		return nil, err
	}
	// All of them have to run at the same time, and the caller.
	l.maxProcs = runtime.GOMAXPROCS(0)
	if n := cpus.Count() + 2; n > l.maxProcs {
		runtime.GOMAXPROCS(n)
	}
	return l, nil
}

// Close ends the threads, but does not wait for one whose CPU gives it no time.
func (l *Live) Close() {
	defer runtime.GOMAXPROCS(l.maxProcs)
	for _, w := range l.workers {
		close(w.jobs)
	}
	timeout := time.After(farewell)
	for _, w := range l.workers {
		select {
		case <-w.ended:
		case <-timeout:
			return
		}
	}
}

// CPUs implements Machine.
func (*Live) CPUs() (topology.CPUSet, error) {
	mask := unix.NewCPUSet(topology.MaxCPUs)
	if err := unix.SchedGetaffinityDynamic(0, mask); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var set topology.CPUSet
	for cpu := range topology.MaxCPUs {
		if mask.IsSet(cpu) {
			set.Add(cpu)
		}
	}
	return set, nil
}

// Now implements Machine.
func (*Live) Now() time.Time { return time.Now() }

// worker is a thread on one CPU.
type worker struct {
	cpu   int
	jobs  chan func() error
	done  chan error
	ended chan struct{}
}

// worker returns the thread of a CPU.
func (l *Live) worker(cpu int) (*worker, error) {
	if w := l.workers[cpu]; w != nil {
		return w, nil
	}
	w := &worker{cpu, make(chan func() error), make(chan error, 1), make(chan struct{})}
	pinned := make(chan error, 1)
	go w.run(pinned)
	if err := <-pinned; err != nil {
		return nil, err
	}
	l.workers[cpu] = w
	return w, nil
}

// run pins its thread, which ends with it: it is never unlocked, so that no other
// goroutine gets its mask. Should it be the first thread of the process, which Go
// keeps, it gets its mask back.
func (w *worker) run(pinned chan<- error) {
	defer close(w.ended)
	runtime.LockOSThread()
	before := unix.NewCPUSet(topology.MaxCPUs)
	if err := unix.SchedGetaffinityDynamic(0, before); err != nil {
		pinned <- fmt.Errorf("sched_getaffinity: %w", err)
		return
	}
	if err := w.pin(); err != nil {
		pinned <- err
		return
	}
	pinned <- nil
	for job := range w.jobs {
		w.done <- w.try(job)
	}
	_ = unix.SchedSetaffinityDynamic(0, before) // the thread ends anyway, but for the first
}

func (w *worker) pin() error {
	mask := unix.NewCPUSet(topology.MaxCPUs)
	mask.Set(w.cpu)
	err := unix.SchedSetaffinityDynamic(0, mask)
	if err == unix.EINVAL {
		return &GoneError{w.cpu}
	}
	if err != nil {
		return fmt.Errorf("sched_setaffinity to CPU %d: %w", w.cpu, err)
	}
	return nil
}

// try does a job, and says if the kernel moved the thread meanwhile, as it does
// when its CPU goes off line.
func (w *worker) try(job func() error) error {
	if err := job(); err != nil {
		return err
	}
	mask := unix.NewCPUSet(topology.MaxCPUs)
	if err := unix.SchedGetaffinityDynamic(0, mask); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	if !mask.IsSet(w.cpu) || mask.Count() != 1 {
		return &GoneError{w.cpu}
	}
	return nil
}

// team is threads that do something at the same time.
type team struct {
	size  int32
	ready atomic.Int32
	start atomic.Int64 // when all were ready by monotonic
	stop  atomic.Bool
}

var epoch = time.Now()

func monotonic() int64 { return int64(time.Since(epoch)) }

// gather waits, busily, until all of the team run.
func (t *team) gather() (start int64, ok bool) {
	if t.ready.Add(1) == t.size {
		t.start.Store(max(monotonic(), 1))
	}
	for {
		if start := t.start.Load(); start != 0 {
			return start, true
		}
		if t.stop.Load() {
			return 0, false
		}
	}
}

// do has each of the CPUs do a job at the same time, and waits for them.
func (l *Live) do(ctx context.Context, cpus []int, t *team, job func(k int) error) error {
	team := make([]*worker, len(cpus))
	for k, cpu := range cpus {
		w, err := l.worker(cpu)
		if err != nil {
			return err
		}
		team[k] = w
	}
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		t.stop.Store(true)
		time.AfterFunc(farewell, func() { close(late) })
	})()
	for k, w := range team {
		w.jobs <- func() error { return job(k) }
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var failed error
	for _, w := range team {
		select {
		case err := <-w.done:
			if failed == nil {
				failed = err
			}
			continue
		case <-late:
			failed = ctx.Err()
		case <-timeout.C:
			failed = fmt.Errorf("CPU %d gave a thread no time for %v", w.cpu, patience)
		}
		t.stop.Store(true)
		delete(l.workers, w.cpu)
		close(w.jobs) // it ends when its CPU lets it
		return failed
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// usage is what a thread had of its CPU since a moment.
type usage struct {
	wall     int64
	cpu      int64
	switches int64 // to other threads, against its will
}

func usageNow() (u usage, err error) {
	var spec unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spec); err != nil {
		return u, fmt.Errorf("clock_gettime: %w", err)
	}
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &r); err != nil {
		return u, fmt.Errorf("getrusage: %w", err)
	}
	return usage{monotonic(), spec.Nano(), int64(r.Nivcsw)}, nil
}

// enough is the share of the time that a thread has to run; less, and another one
// of this kernel was there. A CPU that the host took away shows no switches.
const enough = 0.9

// measured runs what a thread of a team measures. It returns what share of the
// time the thread had, and whether others had the rest.
func (t *team) measured(what func(start int64)) (share float64, disturbed bool, err error) {
	before, err := usageNow()
	if err != nil {
		t.stop.Store(true)
		return 0, false, err
	}
	start, ok := t.gather()
	if !ok {
		return 0, true, nil
	}
	what(start)
	after, err := usageNow()
	share = float64(after.cpu-before.cpu) / float64(max(after.wall-before.wall, 1))
	return share, share < enough && after.switches > before.switches, err
}
