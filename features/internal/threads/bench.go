// SPDX-License-Identifier: Apache-2.0

package threads

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Bench measures op, which returns how many threads it read, beside threads of
// Spin that would take the CPU from it: it runs ahead of them at a real-time
// priority where that is allowed, and reports the CPU time of its own thread,
// which no other load changes, as cpu-ns/op and as ns/thread.
func Bench(b *testing.B, op func() (int, error)) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		b.Fatal(err)
	}
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, fifo, 0); err != nil {
		b.Logf("no real-time priority: %v", err)
	} else {
		defer unix.SchedSetAttr(0, old, 0)
	}
	read := 0
	if _, err = op(); err != nil { // grows what is reused
		b.Fatal(err)
	}
	b.ReportAllocs()
	spent := int64(0)
	for b.Loop() {
		start := cpuTime(b)
		if read, err = op(); err != nil {
			b.Fatal(err)
		}
		spent += cpuTime(b) - start
	}
	perOp := float64(spent) / float64(b.N)
	b.ReportMetric(perOp, "cpu-ns/op")
	b.ReportMetric(perOp/float64(read), "ns/thread")
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}
