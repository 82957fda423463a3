// SPDX-License-Identifier: Apache-2.0

package features_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/internal/threads"
	"mllb/features/procfs"
	"mllb/internal/cgroup"
)

func TestMain(m *testing.M) { threads.Main(m) }

// The two backends read a host that goes on living, at slightly different moments.
// What differs by chance agrees in one of a few attempts; what differs because a
// reader is wrong agrees in none. So each value of each thread has to agree in
// one attempt, and averages, which would hide a rare but real fault, are not
// taken. What cannot change by itself has to agree in every attempt.
const (
	maxAttempts = 200
	minAttempts = 5 // also how often a thread must have been seen to be judged
)

// emulated: in a guest of the lab a read of /proc takes seconds while the host's
// clocks run on, so what changes with time is compared on real machines only.
var emulated = os.Getenv("MLLB_LAB") == "1"

// volatileFlags are PF_ bits that come and go while a thread lives
// (include/linux/sched.h): EXITING, SUPERPRIV, MEMALLOC, NPROC_EXCEEDED, USED_MATH.
const volatileFlags = 0x4 | 0x100 | 0x800 | 0x1000 | 0x2000

// exact are the values of a thread that both backends must show alike.
var exact = []struct {
	name string
	get  func(*features.Snapshot, *features.Thread) any
}{
	{"tgid", func(_ *features.Snapshot, t *features.Thread) any { return t.TGID }},
	{"ppid", func(_ *features.Snapshot, t *features.Thread) any { return t.PPID }},
	{"session", func(_ *features.Snapshot, t *features.Thread) any { return t.Session }},
	{"comm", func(_ *features.Snapshot, t *features.Thread) any { return t.Comm }},
	{"cgroup", func(_ *features.Snapshot, t *features.Thread) any { return t.Cgroup }},
	{"cpu", func(_ *features.Snapshot, t *features.Thread) any { return t.CPU }},
	{"state", func(_ *features.Snapshot, t *features.Thread) any { return t.State }},
	{"running", func(_ *features.Snapshot, t *features.Thread) any { return t.Running }},
	{"policy", func(_ *features.Snapshot, t *features.Thread) any { return t.Policy }},
	{"flags", func(_ *features.Snapshot, t *features.Thread) any { return t.Flags &^ volatileFlags }},
	{"nice", func(_ *features.Snapshot, t *features.Thread) any { return t.Nice }},
	{"numa", func(s *features.Snapshot, t *features.Thread) any { return t.NUMAType &^ untold(s, t) }},
	{"allowed", func(s *features.Snapshot, t *features.Thread) any { return s.Masks[t.Allowed].String() }},
	{"preferred", func(_ *features.Snapshot, t *features.Thread) any { return t.PreferredNode }},
	{"faults", func(s *features.Snapshot, t *features.Thread) any { return taskFaults(s, t) }},
}

// near are the values that may differ by abs plus rel of the larger.
var near = []struct {
	name     string
	get      func(*features.Snapshot, *features.Thread) float64
	abs, rel float64
}{
	{"load", func(_ *features.Snapshot, t *features.Thread) float64 { return float64(t.Load) }, 32, 0.15},
	{"runnable", func(_ *features.Snapshot, t *features.Thread) float64 { return float64(t.Runnable) }, 64, 0.15},
	{"runtime", func(_ *features.Snapshot, t *features.Thread) float64 { return float64(t.Runtime) }, 50e6, 0},
	// Not the delta itself, which grows: the moment that it reckons from. The
	// eBPF backend reads a clock for each delta and shows the first of its pass.
	{"exec_start", func(s *features.Snapshot, t *features.Thread) float64 {
		return float64(int64(s.Runqueues[t.CPU].Clock) - t.Delta)
	}, 20e6, 0},
}

// queues are the values of a runqueue.
var queues = []struct {
	name     string
	get      func(*features.Runqueue) float64
	abs, rel float64
}{
	{"online", func(q *features.Runqueue) float64 { return map[bool]float64{true: 1}[q.Online] }, 0, 0},
	{"nr_running", func(q *features.Runqueue) float64 { return float64(q.NrRunning) }, 0, 0},
	{"queued", func(q *features.Runqueue) float64 { return float64(q.NrQueued) }, 0, 0},
	{"preferred", func(q *features.Runqueue) float64 { return float64(q.NrPreferredRunning) }, 0, 0},
	{"numa", func(q *features.Runqueue) float64 { return float64(q.NrNUMARunning) }, 0, 0},
	{"load_avg", func(q *features.Runqueue) float64 { return float64(q.LoadAvg) }, 64, 0.15},
	{"clock", func(q *features.Runqueue) float64 { return float64(q.Clock) }, 50e6, 0},
}

// untold is what /proc cannot tell: it prints the same zeros for a task whose
// numa_faults were allocated and never counted as for one that has none
// (show_numa_stats, kernel/sched/fair.c, 6.12).
func untold(s *features.Snapshot, t *features.Thread) uint8 {
	if t.NUMAType&features.HasGroup == 0 && (t.Faults < 0 || s.Faults[t.Faults].TaskTotal == 0) {
		return features.HasFaults
	}
	return 0
}

func taskFaults(s *features.Snapshot, t *features.Thread) string {
	if t.Faults < 0 || untold(s, t) != 0 {
		return "none"
	}
	f := s.Faults[t.Faults]
	return fmt.Sprint(f.TaskTotal, f.GroupTotal, f.Task)
}

func TestBackends(t *testing.T) {
	e := openBackends(t)
	load := e.spawn(t)
	e.ours = make(map[int32]bool)
	for _, k := range load {
		e.ours[int32(k.pid)] = true
	}
	e.realTime(t)
	seen := tally{}
	for e.attempt = 0; e.attempt < maxAttempts; e.attempt++ {
		e.read(t)
		e.checkPresent(t)
		for _, k := range load {
			checkKnown(t, seen, "/proc", &e.proc, k)
			checkKnown(t, seen, "eBPF", &e.bpf, k)
		}
		e.compareThreads(seen)
		e.compareQueues(seen)
		if t.Failed() {
			return
		}
		if e.attempt >= minAttempts && seen.open() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for key, r := range seen {
		if !r.agreed && r.attempts >= minAttempts {
			t.Errorf("%s never agreed in %d attempts: %s", key, r.attempts, r.last)
		}
	}
	t.Logf("%d values of some of %d threads and %d runqueues agreed within %d attempts",
		len(seen), len(e.proc.Threads), len(e.proc.Runqueues), e.attempt+1)
	if n := e.procfs.Errors(); n != 0 {
		t.Errorf("/proc backend: %d errors, the last: %v", n, e.procfs.LastError())
	}
}

// backends holds both readers and their latest snapshots.
type backends struct {
	procfs  *procfs.Reader
	reader  *bpf.Reader
	proc    features.Snapshot
	bpf     features.Snapshot
	before  map[features.ID]bool // threads of the /proc snapshot before
	attempt int
	took    time.Duration // by the eBPF backend
	mount   cgroup.Mount
	noDebug bool
	ours    map[int32]bool // processes of the test
	// By id, of the latest snapshots.
	inProc, inBPF map[features.ID]*features.Thread
}

func openBackends(t *testing.T) *backends {
	t.Helper()
	e := &backends{mount: hierarchy(t)}
	var err error
	if e.reader, err = bpf.Open(bpf.Options{Hierarchy: e.mount.Hierarchy}); err != nil {
		for _, why := range []error{bpf.ErrNoBTF, bpf.ErrNoGroupSched, bpf.ErrNamespace, unix.EPERM} {
			if errors.Is(err, why) {
				t.Skip("no eBPF backend: ", err)
			}
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { e.reader.Close() })
	if e.procfs, err = procfs.Open(procfs.Options{Hierarchy: e.mount.Hierarchy}); err != nil {
		t.Fatal(err)
	}
	if err := e.procfs.Snapshot(&e.proc); err != nil {
		t.Fatal(err)
	}
	for _, m := range e.procfs.Missing() {
		t.Log("the /proc backend lacks ", m)
		e.noDebug = e.noDebug || strings.HasPrefix(m, "the runqueues")
		if strings.HasPrefix(m, "the load of threads") {
			t.Skip("no /proc backend: ", m)
		}
	}
	return e
}

// realTime has the test run on one CPU ahead of the load that it started, so
// that the two snapshots of a pair are close.
func (e *backends) realTime(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	var one unix.CPUSet
	one.Set(allowed(t).First())
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, fifo, 0); err != nil {
		t.Log("no real-time priority, which makes agreement rarer: ", err)
	}
}

// read takes a pair of snapshots.
func (e *backends) read(t *testing.T) {
	t.Helper()
	e.before = make(map[features.ID]bool)
	for i := range e.proc.Threads {
		e.before[e.proc.Threads[i].ID] = true
	}
	start := time.Now()
	if err := e.reader.Snapshot(&e.bpf); err != nil {
		t.Fatal(err)
	}
	e.took = time.Since(start)
	if err := e.procfs.Snapshot(&e.proc); err != nil {
		t.Fatal(err)
	}
	e.inProc, e.inBPF = byID(&e.proc), byID(&e.bpf)
}

func byID(s *features.Snapshot) map[features.ID]*features.Thread {
	m := make(map[features.ID]*features.Thread, len(s.Threads))
	for i := range s.Threads {
		m[s.Threads[i].ID] = &s.Threads[i]
	}
	return m
}

// checkPresent: a thread that was there before and after the eBPF backend's pass
// was there during it, and this thread is running in both. Process 1 is out of
// mllb's scope; kernels were met that keep it from the iterator.
func (e *backends) checkPresent(t *testing.T) {
	t.Helper()
	for id, th := range e.inProc {
		if e.before[id] && e.inBPF[id] == nil && th.TGID != 1 {
			t.Errorf("thread %v (%q) is not in the eBPF snapshot", id, th.Name())
		}
	}
	me := int32(unix.Gettid())
	for name, s := range map[string]*features.Snapshot{"/proc": &e.proc, "eBPF": &e.bpf} {
		i := slices.IndexFunc(s.Threads, func(th features.Thread) bool { return th.TID == me })
		if i < 0 || !s.Threads[i].Queued() || !s.Threads[i].Running && !(e.noDebug && name == "/proc") {
			t.Errorf("%s: the thread that takes the snapshot is not shown as running", name)
		}
	}
}

// checkKnown holds a thread against what was made of it. Its state may differ
// for a moment: what spins has to be woken first, what sleeps may be woken.
func checkKnown(t *testing.T, seen tally, backend string, s *features.Snapshot, k known) {
	t.Helper()
	i := slices.IndexFunc(s.Threads, func(th features.Thread) bool { return th.TID == int32(k.tid) })
	if i < 0 {
		t.Errorf("%s: thread %d is not there", backend, k.tid)
		return
	}
	th := &s.Threads[i]
	seen.add(fmt.Sprintf("%s: state of thread %d", backend, k.tid), th.State == k.state,
		func() string { return fmt.Sprintf("%c, want %c", th.State, k.state) })
	k.state = th.State
	if k.cpu < 0 {
		k.cpu = int(th.CPU)
	}
	if k.cgroup == 0 {
		k.cgroup = th.Cgroup
	}
	got := known{
		tid: k.tid, pid: int(th.TGID), comm: th.Name(), policy: int(th.Policy), nice: int(th.Nice),
		cpu: int(th.CPU), state: th.State, cgroup: th.Cgroup,
	}
	if got != k || th.Delta < 0 || th.Hold != -1 || th.Managed || th.Owner != th.Allowed {
		t.Errorf("%s: got %+v, want %+v (delta %d)", backend, got, k, th.Delta)
	}
}

// tally keeps for each value whether the backends have agreed about it.
type tally map[string]*result

type result struct {
	agreed   bool
	attempts int
	last     string
}

func (y tally) add(key string, agree bool, show func() string) {
	r := y[key]
	if r == nil {
		r = &result{}
		y[key] = r
	}
	r.attempts++
	r.agreed = r.agreed || agree
	if !r.agreed {
		r.last = show()
	}
}

func (y tally) open() (n int) {
	for _, r := range y {
		if !r.agreed && r.attempts >= minAttempts {
			n++
		}
	}
	return n
}

func within(a, b, abs, rel float64) bool {
	return math.Abs(a-b) <= abs+rel*max(math.Abs(a), math.Abs(b))
}

// compareThreads compares the threads that the test made and those of the
// kernel. What others run here may do anything, at any number of threads.
func (e *backends) compareThreads(seen tally) {
	for id, p := range e.inProc {
		b := e.inBPF[id]
		if b == nil || !e.ours[p.TGID] && p.Flags&features.FlagKthread == 0 {
			continue
		}
		for _, f := range exact {
			if f.name == "running" && e.noDebug {
				continue
			}
			x, y := f.get(&e.proc, p), f.get(&e.bpf, b)
			seen.add(fmt.Sprintf("%s of thread %d %q", f.name, id.TID, p.Name()), x == y,
				func() string { return fmt.Sprintf("/proc %v, eBPF %v", x, y) })
		}
		for _, f := range near {
			if emulated || f.name == "exec_start" && e.noDebug {
				continue
			}
			x, y := f.get(&e.proc, p), f.get(&e.bpf, b)
			abs := f.abs
			if f.name == "exec_start" {
				abs += float64(e.took)
			}
			seen.add(fmt.Sprintf("%s of thread %d %q", f.name, id.TID, p.Name()), within(x, y, abs, f.rel),
				func() string { return fmt.Sprintf("/proc %.0f, eBPF %.0f", x, y) })
		}
	}
}

func (e *backends) compareQueues(seen tally) {
	if e.noDebug {
		return
	}
	seen.add("number of runqueues", len(e.proc.Runqueues) == len(e.bpf.Runqueues), func() string {
		return fmt.Sprintf("/proc %d, eBPF %d", len(e.proc.Runqueues), len(e.bpf.Runqueues))
	})
	for cpu := range min(len(e.proc.Runqueues), len(e.bpf.Runqueues)) {
		for _, f := range queues {
			if emulated && f.abs+f.rel > 0 {
				continue
			}
			x, y := f.get(&e.proc.Runqueues[cpu]), f.get(&e.bpf.Runqueues[cpu])
			seen.add(fmt.Sprintf("%s of cpu %d", f.name, cpu), within(x, y, f.abs, f.rel),
				func() string { return fmt.Sprintf("/proc %.0f, eBPF %.0f", x, y) })
		}
	}
}
