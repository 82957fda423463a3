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

// TestProbeCost counts the instructions that the tracer's programs add to a
// call of can_migrate_task():
//
//	mllb lab test --icount --verbose --kernel 6.12 --topology 2x1x2 --match TestProbeCost features/trace
//
// In a guest of --icount the clock counts instructions, one is a nanosecond,
// and the guest's CPUs take turns on one host thread. A mean would count other
// CPUs' turns too. But a CPU's turn is far longer than a probe and interrupts
// are off in it, so most calls have no turn of another in them: each call is
// timed by programs on both sides of what is measured (cost.bpf.c), and the
// median is exact. That it is, is shown by a program of 1,000 instructions.
func TestProbeCost(t *testing.T) {
	needLab(t)
	if testing.Short() {
		t.Skip("-short: minutes of a guest")
	}
	k, err := readKernel()
	if err != nil {
		t.Fatal(err)
	}
	m := &costMeter{t: t, skip: k.flags.capacity}
	m.load = func() { startLoadOf(t, "", 1, runtime.NumCPU()*3/2, 8) } // short bursts: more decisions for the instructions
	stamp := m.measure("nothing", 40, func() func() { return func() {} })
	empty := m.measure("empty programs", 40, m.between("empty_entry", "empty_ret"))
	thousand := m.measure("1,000 instructions", 40, m.between("thousand", "empty_ret"))
	if n := int(thousand.Entry) - int(empty.Entry); n < 990 || n > 1010 {
		t.Skipf("1,000 instructions take %d ns: no guest of --icount, so the clock does not count instructions", n)
	}
	around := trampoline(t) - (empty.Entry - stamp.Entry) - (empty.Ret - stamp.Ret)
	t.Logf("%s: the trampoline without programs: %d instructions", k.release, around)
	t.Logf("1,000 instructions are counted as %d; an empty program costs %d on the entry, %d on the return",
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
		}{
			{"SMT domain, left out", func(f uint32) bool { return f&costSkipped != 0 && !all }},
			{"SMT domain, recorded", func(f uint32) bool { return f&costSkipped != 0 && all }},
			{"recorded, may migrate", func(f uint32) bool { return f&(costSkipped|costMigrate) == costMigrate && !all }},
			{"recorded, may not", func(f uint32) bool { return f&(costSkipped|costMigrate) == 0 && !all }},
		} {
			m.report(g.name, g.has, stamp, around)
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
func trampoline(t *testing.T) uint32 {
	t.Helper()
	spec, err := loadCost()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range spec.Programs {
		p.AttachTo = "bpf_fentry_test2"
		if p.Name != "empty_entry" && p.Name != "empty_ret" {
			delete(spec.Programs, p.Name)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	m := &costMeter{t: t, specs: coll}
	without := testRun(t, coll.Programs["empty_entry"])
	off := m.attach("empty_entry", "empty_ret")
	with := testRun(t, coll.Programs["empty_entry"])
	off()
	return uint32(with - without)
}

// testRun returns the median time of a test run.
func testRun(t *testing.T, p *ebpf.Program) int64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr := struct {
		fd uint32
		_  [76]byte
	}{fd: uint32(p.FD())}
	const progTestRun = 10 // BPF_PROG_TEST_RUN (include/uapi/linux/bpf.h)
	times := make([]int64, 1001)
	for i := range times {
		var a, b unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &a)
		_, _, errno := unix.Syscall(unix.SYS_BPF, progTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &b)
		if errno != 0 {
			t.Fatalf("test run: %v", errno)
		}
		times[i] = b.Nano() - a.Nano()
	}
	slices.Sort(times)
	return times[len(times)/2]
}
