// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkProbe counts the instructions that the tracer's programs add to a
// call of can_migrate_task():
//
//	CGO_ENABLED=0 go test -c ./features/trace
//	mllb lab run --icount --kernel 6.12 --topology 2x1x2 --timeout 1h --copy trace.test -- trace.test -test.run - -test.bench Probe
//
// In a guest of --icount the clock counts instructions, one is a nanosecond,
// and the guest's CPUs take turns on one host thread. A mean would count other
// CPUs' turns too. But a CPU's turn is far longer than a probe and interrupts
// are off in it, so most calls have no turn of another in them: each call is
// timed by programs on both sides of what is measured (cost.bpf.c), and the
// median is exact. That it is, is shown by a program of 1,000 instructions.
func BenchmarkProbe(b *testing.B) {
	needLab(b)
	k, err := readKernel()
	if err != nil {
		b.Fatal(err)
	}
	m := &costMeter{b: b, skip: k.flags.capacity}
	m.load = func() { startLoadOf(b, "", 1, runtime.NumCPU()*3/2, 8) } // short bursts: more decisions for the instructions
	for b.Loop() {
		costOfProbe(b, m)
	}
	b.ReportMetric(0, "ns/op") // of no use: the time until there were enough calls
}

func costOfProbe(b *testing.B, m *costMeter) {
	b.Helper()
	stamp := m.measure("nothing", 40, func() func() { return func() {} })
	empty := m.measure("empty programs", 40, m.between("empty_entry", "empty_ret"))
	thousand := m.measure("1,000 instructions", 40, m.between("thousand", "empty_ret"))
	if n := int(thousand.Entry) - int(empty.Entry); n < 990 || n > 1010 {
		b.Fatalf("1,000 instructions take %d ns: no guest of --icount, so the clock does not count instructions", n)
	}
	around := trampoline(b) - (empty.Entry - stamp.Entry) - (empty.Ret - stamp.Ret)
	b.ReportMetric(float64(around), "instr/trampoline")
	b.Logf("1,000 instructions are counted as %d; an empty program costs %d on the entry, %d on the return",
		thousand.Entry-empty.Entry, empty.Entry-stamp.Entry, empty.Ret-stamp.Ret)
	for _, all := range []bool{false, true} {
		n := uint64(200)
		if all { // one row only
			n = 60
		}
		m.measure("the tracer", n, m.tracer(all))
		for _, g := range []struct {
			name string
			has  func(facts uint32) bool
			all  bool
		}{
			{"SMT_domain_left_out", func(f uint32) bool { return f&costSkipped != 0 }, false},
			{"SMT_domain_recorded", func(f uint32) bool { return f&costSkipped != 0 }, true},
			{"recorded_may_migrate", func(f uint32) bool { return f&(costSkipped|costMigrate) == costMigrate }, false},
			{"recorded_may_not", func(f uint32) bool { return f&(costSkipped|costMigrate) == 0 }, false},
		} {
			if g.all == all {
				m.report(g.name, g.has, stamp, around)
			}
		}
	}
}

// As in cost.bpf.c.
const (
	costMigrate = 1
	costSkipped = 2
	costMax     = 65536
)

// trampoline returns what a function of two arguments costs more with an empty
// program on its entry and one on its return: bpf_fentry_test2(), which a test
// run of any tracing program calls (net/bpf/test_run.c).
func trampoline(b *testing.B) uint32 {
	b.Helper()
	spec, err := loadCost()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range spec.Programs {
		p.AttachTo = "bpf_fentry_test2"
		if p.Name != "empty_entry" && p.Name != "empty_ret" {
			delete(spec.Programs, p.Name)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		b.Fatal(err)
	}
	defer coll.Close()
	m := &costMeter{b: b, specs: coll}
	without := testRun(b, coll.Programs["empty_entry"])
	off := m.attach("empty_entry", "empty_ret")
	with := testRun(b, coll.Programs["empty_entry"])
	off()
	return uint32(with - without)
}

// testRun returns the median time of a test run.
func testRun(b *testing.B, p *ebpf.Program) int64 {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr := struct {
		fd uint32
		_  [76]byte
	}{fd: uint32(p.FD())}
	const progTestRun = 10 // BPF_PROG_TEST_RUN (include/uapi/linux/bpf.h)
	times := make([]int64, 1001)
	for i := range times {
		var from, to unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &from)
		_, _, errno := unix.Syscall(unix.SYS_BPF, progTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &to)
		if errno != 0 {
			b.Fatalf("test run: %v", errno)
		}
		times[i] = to.Nano() - from.Nano()
	}
	slices.Sort(times)
	return times[len(times)/2]
}
