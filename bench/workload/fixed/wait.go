// SPDX-License-Identifier: Apache-2.0

package fixed

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait = 0x80 // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
	futexWake = 0x81
)

// sleepWhile sleeps if the word still has the value, until somebody wakes it.
//
//go:nosplit
func sleepWhile(word *uint32, value uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value), 0, 0, 0)
}

//go:nosplit
func wakeOne(word *uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0)
}

// pause sleeps for so many nanoseconds, less than a second; a signal ends it.
//
//go:nosplit
func pause(ns uint64) {
	ts := unix.Timespec{Nsec: int64(ns)}
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// semaphore counts what can be taken.
type semaphore struct{ n, waiting uint32 }

//go:nosplit
func (s *semaphore) take() {
	for {
		n := atomic.LoadUint32(&s.n)
		if n > 0 {
			if atomic.CompareAndSwapUint32(&s.n, n, n-1) {
				return
			}
			continue
		}
		atomic.AddUint32(&s.waiting, 1)
		sleepWhile(&s.n, 0)
		atomic.AddUint32(&s.waiting, ^uint32(0))
	}
}

//go:nosplit
func (s *semaphore) give() {
	atomic.AddUint32(&s.n, 1)
	if atomic.LoadUint32(&s.waiting) > 0 {
		wakeOne(&s.n)
	}
}

// mutex is the third of Drepper's "Futexes Are Tricky": 0 free, 1 held, 2 held
// with others waiting.
type mutex struct{ state uint32 }

//go:nosplit
func (m *mutex) lock() {
	if atomic.CompareAndSwapUint32(&m.state, 0, 1) {
		return
	}
	for atomic.SwapUint32(&m.state, 2) != 0 {
		sleepWhile(&m.state, 2)
	}
}

//go:nosplit
func (m *mutex) unlock() {
	if atomic.SwapUint32(&m.state, 0) == 2 {
		wakeOne(&m.state)
	}
}
