// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/internal/threads"
	"mllb/internal/procfile"
	"mllb/topology"
)

// snapshot takes a snapshot and indexes its threads by tid.
func snapshot(tb testing.TB, r *Reader, s *features.Snapshot) map[int]*features.Thread {
	tb.Helper()
	if err := r.Snapshot(s); err != nil {
		tb.Fatal(err)
	}
	byTID := make(map[int]*features.Thread, len(s.Threads))
	for i := range s.Threads {
		byTID[int(s.Threads[i].TID)] = &s.Threads[i]
	}
	if len(byTID) == 0 {
		tb.Fatal("a snapshot of no thread at all")
	}
	if len(byTID) != len(s.Threads) {
		tb.Errorf("%d threads, %d different ids", len(s.Threads), len(byTID))
	}
	return byTID
}

// patience is for what must come but may take long in an emulated guest whose
// host is busy with others.
const patience = 2 * time.Minute

// eventually takes snapshots until ok is content: what a thread does right
// after it was made is not up to us. Only a thread that never gets there fails.
func eventually(t *testing.T, r *Reader, s *features.Snapshot, what string, ok func(map[int]*features.Thread) bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(snapshot(t, r, s)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not seen", what)
		}
	}
}

// stat reads what proc_pid_stat(5) says of a thread, as a Thread.
func stat(pid, tid int) (features.Thread, error) {
	s, err := procfile.ReadStat(fmt.Sprintf("/proc/%d/task/%d", pid, tid))
	th := features.Thread{
		ID: features.ID{TID: int32(tid), Start: s.Start}, TGID: int32(pid), State: s.State,
		PPID: s.PPID, Session: s.Session, Flags: s.Flags, Nice: s.Nice, CPU: s.CPU, Policy: s.Policy,
	}
	copy(th.Comm[:], s.Comm)
	return th, err
}

// TestAgainstProc holds every field that proc_pid_stat(5) has against it, for
// threads of our own, whose settings are not the defaults.
func TestAgainstProc(t *testing.T) {
	r := openReader(t, Options{})
	var online unix.CPUSet
	if err := unix.SchedGetaffinity(0, &online); err != nil {
		t.Fatal(err)
	}
	cpu := lastCPU(t)
	spin, sleep := threads.Spin(t, 2, cpu), threads.Sleep(t, 3)
	batch := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: 7}
	if err := unix.SchedSetAttr(sleep.TIDs[0], batch, 0); err != nil {
		t.Fatal(err)
	}
	var s features.Snapshot
	for _, tt := range []struct {
		g     *threads.Group
		state byte
		mask  topology.CPUSet
	}{{spin, 'R', topology.NewCPUSet(cpu)}, {sleep, 'S', fromUnix(&online)}} {
		for _, tid := range tt.g.TIDs {
			eventually(t, r, &s, fmt.Sprintf("thread %d in state %c", tid, tt.state), func(byTID map[int]*features.Thread) bool {
				return byTID[tid] != nil && byTID[tid].State == tt.state
			})
			got := *snapshot(t, r, &s)[tid]
			want, err := stat(tt.g.PID, tid)
			if err != nil {
				t.Fatal(err)
			}
			if mask := s.Masks[got.Allowed]; !mask.Equal(tt.mask) {
				t.Errorf("thread %d: mask %v, want %v", tid, mask, tt.mask)
			}
			if got.Runtime == 0 || got.Delta > s.Time+int64(time.Hour) || got.Owner != got.Allowed || got.Hold != -1 || got.Managed {
				t.Errorf("%+v", got)
			}
			if tt.state == 'S' {
				want.CPU = got.CPU // it may have moved between the two readings
			}
			same := features.Thread{ID: got.ID, TGID: got.TGID, PPID: got.PPID, Session: got.Session, Comm: got.Comm,
				CPU: got.CPU, State: got.State, Policy: got.Policy, Flags: got.Flags, Nice: got.Nice}
			if same != want {
				t.Errorf("thread %d:\n got %+v\nwant %+v", tid, same, want)
			}
		}
	}
	if th := snapshot(t, r, &s)[sleep.TIDs[0]]; th.Policy != features.SchedBatch || th.Nice != 7 {
		t.Errorf("policy %d, nice %d; want SCHED_BATCH and 7", th.Policy, th.Nice)
	}
}

// TestSelf looks at the one thread whose state is known for certain: the one
// that takes the snapshot is on a CPU, which the program keeps it on.
func TestSelf(t *testing.T) {
	r := openReader(t, Options{})
	g := threads.Sleep(t, 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var s features.Snapshot
	if th := snapshot(t, r, &s)[unix.Gettid()]; !th.Running || !th.MigrationDisabled || th.State != 'R' || !s.Runqueues[th.CPU].Online {
		t.Errorf("the reader itself: %+v", th)
	}
	eventually(t, r, &s, "a thread that neither runs nor is pinned", func(byTID map[int]*features.Thread) bool {
		th := byTID[g.TIDs[0]]
		return !th.Running && !th.MigrationDisabled && th.State == 'S'
	})
}

// TestWholeHost holds identity and kinship of every thread against /proc. A
// thread that ended or was adopted meanwhile differs in one try only.
func TestWholeHost(t *testing.T) {
	r := openReader(t, Options{})
	var s features.Snapshot
	var wrong []string
	for range 20 {
		wrong = wrong[:0]
		for tid, th := range snapshot(t, r, &s) {
			p, err := stat(int(th.TGID), tid)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue
			}
			if err != nil || p.ID != th.ID || p.PPID != th.PPID || p.Session != th.Session || p.Nice != th.Nice || p.Policy != th.Policy {
				wrong = append(wrong, fmt.Sprintf("%v\n got %+v\nwant %+v", err, *th, p))
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	t.Errorf("%d threads differ from /proc:\n%s", len(wrong), strings.Join(wrong, "\n"))
}

func TestRunqueues(t *testing.T) {
	r := openReader(t, Options{})
	const spinning = 5
	cpu := lastCPU(t)
	threads.Spin(t, spinning, cpu)
	var s features.Snapshot
	// They may still be on their way to the CPU that they were pinned to.
	eventually(t, r, &s, "the spinning threads on one queue", func(map[int]*features.Thread) bool {
		rq := s.Runqueues[cpu]
		return rq.Online && rq.NrRunning >= spinning && rq.NrQueued >= spinning && rq.NrRunning < 1000 && rq.LoadAvg > 0 && rq.Clock > 0
	})
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		t.Fatal(err)
	}
	var seen topology.CPUSet
	for c, rq := range s.Runqueues {
		if rq.Online {
			seen.Add(c)
		}
	}
	if got, want := seen.String(), strings.TrimSpace(string(online)); got != want {
		t.Errorf("online %s, want %s", got, want)
	}
}

// TestManyCPUs reads the same host as one of 130 CPUs and 4 nodes, whose masks
// have several words. What is in the words past its own CPUs is undefined.
func TestManyCPUs(t *testing.T) {
	small, large := openReader(t, Options{}), openReader(t, Options{CPUs: 130, Nodes: 4})
	g := threads.Spin(t, 1, lastCPU(t))
	var s, l features.Snapshot
	a, b := snapshot(t, small, &s)[g.TIDs[0]], snapshot(t, large, &l)[g.TIDs[0]]
	if a.ID != b.ID || s.Masks[a.Allowed][0] != l.Masks[b.Allowed][0] || len(l.Runqueues) != 130 || l.Runqueues[129].Online {
		t.Errorf("as it is: %+v %v\nas a larger host: %+v %v", a, s.Masks[a.Allowed], b, l.Masks[b.Allowed])
	}
}

// TestAllocations takes snapshots of more threads than one read(2) returns.
func TestAllocations(t *testing.T) {
	r := openReader(t, Options{})
	g := threads.Sleep(t, 600)
	var s features.Snapshot
	byTID := snapshot(t, r, &s)
	for _, tid := range g.TIDs {
		if byTID[tid] == nil {
			t.Fatalf("thread %d is missing among %d", tid, len(s.Threads))
		}
	}
	s.Threads = append(s.Threads, make([]features.Thread, 1000)...) // room for what others start
	n := testing.AllocsPerRun(20, func() {
		if err := r.Snapshot(&s); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a snapshot", n)
	}
}

func TestClosed(t *testing.T) {
	r := openReader(t, Options{})
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Snapshot(&features.Snapshot{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("snapshot of a closed reader: %v", err)
	}
}

// lastCPU is the last CPU that this process may use.
func lastCPU(t *testing.T) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	last := -1
	for c := range fromUnix(&set).All() {
		last = c
	}
	return last
}

func fromUnix(set *unix.CPUSet) topology.CPUSet {
	var s topology.CPUSet
	for _, w := range set {
		s = append(s, uint64(w))
	}
	return s
}
