// SPDX-License-Identifier: Apache-2.0

package live

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkCost counts the instructions of can_migrate_task() and sched_balance_rq()
// in each mode, on a kernel with the patches or, for comparison, without:
//
//	CGO_ENABLED=0 go test -c ./kernel/live
//	mllb lab run --icount --kernel PATH --topology 2x1x2 --timeout 2h --copy live.test -- live.test -test.run - -test.bench Cost
//
// There the clock counts instructions, and a turn of one CPU is far longer than a
// call in which interrupts are off, so that the median of many calls is exact.
// sched_balance_rq() has interrupts on at times: its figures are rougher.
func BenchmarkCost(b *testing.B) {
	if os.Getenv("MLLB_LAB") == "" {
		b.Skip("runs in a guest of mllb lab")
	}
	modes := []string{"off", "shadow", "replace", "float"}
	if _, err := os.Stat(control); errors.Is(err, fs.ErrNotExist) {
		modes = []string{"stock"}
	} else {
		needPatches(b)
	}
	own := overhead(b)
	// env is the second argument of the one, sd the third of the other.
	flags := &argument{1, []int16{offsetOf(b, "lb_env", "sd"), offsetOf(b, "sched_domain", "flags")}}
	decide := attachProbe(b, "can_migrate_task", 2, flags)
	defer decide.close()
	balance := attachProbe(b, "sched_balance_rq", 5, nil)
	defer balance.close()
	balanceOften(b)
	startLoad(b, "mixed", runtime.NumCPU()*2, 0)
	for _, mode := range modes {
		b.Run(mode, func(b *testing.B) {
			setMode(b, mode)
			from, passes := decide.seen(), balance.seen()
			for b.Loop() {
				waitCalls(b, decide, balance)
			}
			report(b, decide.since(from), balance.since(passes), own)
		})
	}
}

// enoughCalls of both functions in each mode.
const enoughCalls = 400

func waitCalls(b *testing.B, probes ...*probe) {
	b.Helper()
	end := time.Now().Add(20 * time.Minute)
	var enough []uint64
	for _, p := range probes {
		enough = append(enough, p.seen()+enoughCalls)
	}
	for i, p := range probes {
		for ; p.seen() < enough[i]; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				b.Fatalf("%s: %d calls in 20 minutes are too few", p.function, p.seen()+enoughCalls-enough[i])
			}
		}
	}
}

// balanceOften has each domain balanced every 1 to 4 ms: an emulated CPU of --icount
// takes a minute for a second.
func balanceOften(t testing.TB) {
	t.Helper()
	const sched = "/sys/kernel/debug/sched"
	for _, s := range []struct{ glob, value string }{
		{"verbose", "Y"},
		{"domains/cpu*/domain*/min_interval", "1"},
		{"domains/cpu*/domain*/max_interval", "4"},
		{"domains/cpu*/domain*/busy_factor", "1"},
	} {
		files, err := filepath.Glob(filepath.Join(sched, s.glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", s.glob, err)
		}
		for _, f := range files {
			if err := os.WriteFile(f, []byte(s.value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// setMode sets mode and arithmetic; "float" replaces.
func setMode(t testing.TB, mode string) {
	t.Helper()
	switch mode {
	case "stock":
		return
	case "float":
		put(t, "arith", "float")
		mode = "replace"
	default:
		put(t, "arith", "fixed")
	}
	put(t, "mode", mode)
}

// smt is SD_SHARE_CPUCAPACITY, in the SMT domain alone; it may have another
// number in other kernels than 6.12.
const smt = 1 << 7

func report(b *testing.B, decisions, passes []call, own uint64) {
	b.Helper()
	for _, g := range []struct {
		name  string
		calls []call
		has   func(call) bool
	}{
		{"can_migrate_task_yes_SMT", decisions, func(c call) bool { return c.Ret == 1 && c.Flags&smt != 0 }},
		{"can_migrate_task_yes_wider", decisions, func(c call) bool { return c.Ret == 1 && c.Flags&smt == 0 }},
		{"can_migrate_task_no", decisions, func(c call) bool { return c.Ret == 0 }},
		{"sched_balance_rq_moved_one", passes, func(c call) bool { return c.Ret == 1 }},
		{"sched_balance_rq_moved_none", passes, func(c call) bool { return c.Ret == 0 }},
	} {
		calls := slices.DeleteFunc(slices.Clone(g.calls), func(c call) bool { return !g.has(c) })
		if len(calls) == 0 {
			b.Errorf("%s: none of %d calls", g.name, len(g.calls))
			continue
		}
		byTime(calls)
		at := func(q float64) int64 { return int64(calls[int(q*float64(len(calls)-1))].Time) - int64(own) }
		b.Logf("%s: %d calls: median %d (10 %% %d, 25 %% %d, 75 %% %d, 90 %% %d)", g.name, len(calls), at(0.5), at(0.1), at(0.25), at(0.75), at(0.9))
		b.ReportMetric(float64(at(0.5)), "instr/"+g.name)
	}
	b.ReportMetric(0, "ns/op") // of no use: the time until there were enough calls
}

func byTime(calls []call) {
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.Time, b.Time) })
}

// overhead is what the probe adds to a call: a function of two arguments that
// adds them, which a test run of any tracing program calls (net/bpf/test_run.c).
func overhead(t testing.TB) uint64 {
	t.Helper()
	p := attachProbe(t, "bpf_fentry_test2", 2, nil)
	defer p.close()
	for range 200 {
		testRun(t, p.progs[0])
	}
	calls := p.since(0)
	if len(calls) < 100 {
		t.Fatalf("%d calls of bpf_fentry_test2", len(calls))
	}
	byTime(calls)
	m := calls[len(calls)/2].Time
	t.Logf("a probe around nothing: %d", m)
	return m
}

// testRun has the kernel call the functions that are there to be traced. The
// library would give every program a context, which tracing programs refuse.
func testRun(t testing.TB, p *ebpf.Program) {
	t.Helper()
	attr := struct {
		fd uint32
		_  [76]byte
	}{fd: uint32(p.FD())}
	const progTestRun = 10 // BPF_PROG_TEST_RUN (include/uapi/linux/bpf.h)
	if _, _, errno := unix.Syscall(unix.SYS_BPF, progTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); errno != 0 {
		t.Fatalf("test run: %v", errno)
	}
}
