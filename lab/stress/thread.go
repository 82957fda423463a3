// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// thread is one thread of a load, locked to its goroutine.
type thread struct {
	index  int
	stop   *atomic.Bool
	rng    *rand.Rand
	memory []byte
	at     int // where in memory it is
	sum    uint64
	owner  unix.CPUSet   // the mask it began with
	burns  time.Duration // that it asked for so far
	sleeps time.Duration
	err    error
}

// live is the thread's life. The goroutine ends locked, and so the thread with
// it: its mask and priority go to no other.
func (t *thread) live(k Kind) error {
	runtime.LockOSThread()
	if err := unix.SchedGetaffinity(0, &t.owner); err != nil {
		return fmt.Errorf("read my mask: %w", err)
	}
	if k.memory > 0 {
		var err error
		if t.memory, err = unix.Mmap(-1, 0, k.memory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
			return fmt.Errorf("map %d bytes: %w", k.memory, err)
		}
		defer unix.Munmap(t.memory)
	}
	if k.start != nil {
		k.start(t)
	}
	for t.err == nil && !t.stop.Load() {
		k.step(t)
		if k.short {
			break
		}
	}
	return t.err
}

// between draws a duration, evenly.
func (t *thread) between(low, high time.Duration) time.Duration {
	return low + time.Duration(t.rng.Int64N(int64(high-low)))
}

const page = 4096

// burn keeps the CPU busy for so long by the clock, and walks over the memory
// as it does.
func (t *thread) burn(d time.Duration) {
	t.burns += d
	for end := time.Now().Add(d); !t.stop.Load() && time.Now().Before(end); {
		for range 512 {
			t.sum = t.sum*6364136223846793005 + 1442695040888963407
		}
		if len(t.memory) > 0 {
			t.memory[t.at] += byte(t.sum >> 56) // the low bits repeat
			t.at = (t.at + page) % len(t.memory)
		}
	}
}

// sleep leaves the CPU. Not by the runtime, which would have another thread
// wait and wake this one.
func (t *thread) sleep(d time.Duration) {
	t.sleeps += d
	if t.stop.Load() {
		return
	}
	ts := unix.NsecToTimespec(int64(d))
	if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
		t.err = fmt.Errorf("sleep %v: %w", d, err)
	}
}

// pin narrows the thread to one CPU of those it began with.
func (t *thread) pin() {
	n := t.rng.IntN(t.owner.Count())
	for cpu := 0; ; cpu++ {
		if !t.owner.IsSet(cpu) {
			continue
		}
		if n--; n < 0 {
			var set unix.CPUSet
			set.Set(cpu)
			t.affinity(&set)
			return
		}
	}
}

// release gives it its mask back.
func (t *thread) release() { t.affinity(&t.owner) }

func (t *thread) affinity(set *unix.CPUSet) {
	// EINVAL: the CPU went offline meanwhile.
	if err := unix.SchedSetaffinity(0, set); err != nil && !errors.Is(err, unix.EINVAL) {
		t.err = fmt.Errorf("set my mask: %w", err)
	}
}

// nice sets the thread's own priority; below 0 it needs CAP_SYS_NICE, and
// without it the thread stays as it is.
func (t *thread) nice(n int) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, n); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		t.err = fmt.Errorf("nice %d: %w", n, err)
	}
}
