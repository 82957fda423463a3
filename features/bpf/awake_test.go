// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/features/internal/threads"
)

func openAwake(tb testing.TB, opt Options) *Reader {
	tb.Helper()
	r := openReader(tb, opt)
	skipUnless(tb, r.AwakeError())
	return r
}

// awakeNow is snapshot for the threads that are awake.
func awakeNow(tb testing.TB, r *Reader, s *features.Snapshot) map[int]*features.Thread {
	tb.Helper()
	if err := r.Awake(s); err != nil {
		tb.Fatal(err)
	}
	byTID := make(map[int]*features.Thread, len(s.Threads))
	for i := range s.Threads {
		byTID[int(s.Threads[i].TID)] = &s.Threads[i]
	}
	if len(byTID) != len(s.Threads) {
		tb.Errorf("%d threads, %d different ids", len(s.Threads), len(byTID))
	}
	return byTID
}

// rounds is how often the two ways to read the host are compared: MLLB_ROUNDS times.
func rounds(t *testing.T) int {
	few := "300"
	if testing.Short() {
		few = "20" // an emulated guest takes a second for each
	}
	text := cmp.Or(os.Getenv("MLLB_ROUNDS"), few)
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAwakeAgainstWhole reads what is awake between two readings of all threads. What is
// the same in both of those must be so in it, and threads that want a CPU all the
// time, or that were named, are in it. What else differs is explained by time.
func TestAwakeAgainstWhole(t *testing.T) {
	r := openAwake(t, Options{})
	busy := append(threads.Spin(t, 9, -1).TIDs, threads.Spin(t, 3, lastCPU(t)).TIDs...)
	asleep := threads.Sleep(t, 20).TIDs
	for i, a := range []*unix.SchedAttr{{Policy: unix.SCHED_BATCH, Nice: 7}, {Policy: unix.SCHED_IDLE}, {Nice: -3}} {
		a.Size = unix.SizeofSchedAttr
		if err := unix.SchedSetAttr(busy[i], a, 0); err != nil {
			t.Fatal(err)
		}
	}
	threads.Storm(t)
	ahead(t)
	var before, s, after features.Snapshot
	different, missed, whole, moved := 0, 0, 0, 0
	n := rounds(t)
	for range n {
		slept := sleeps(t, busy)
		was := snapshot(t, r, &before)
		s.Keep = s.Keep[:0]
		for _, tid := range asleep {
			s.Keep = append(s.Keep, was[tid].Task)
		}
		now := awakeNow(t, r, &s)
		then := snapshot(t, r, &after)
		maps.DeleteFunc(slept, func(tid, n int) bool { return sleeps(t, []int{tid})[tid] == n && was[tid].Queued() })
		if !s.Partial {
			whole++
			continue
		}
		for _, tid := range slices.Concat(busy, asleep) {
			switch {
			case now[tid] != nil || has(slept, tid):
			case was[tid].CPU != then[tid].CPU || readNow(t, r, s.Keep, tid):
				moved++ // to a queue that had been read, perhaps back by now
			default:
				missed++
				t.Errorf("thread %d was not read: %+v, then %+v", tid, *was[tid], *then[tid])
			}
		}
		for tid, th := range now {
			if a, b := was[tid], then[tid]; a != nil && b != nil && a.ID == th.ID && b.ID == th.ID {
				if what := differs(&before, a, &s, th, &after, b); what != "" {
					different++
					t.Errorf("%s:\nthen %+v\n now %+v\nthen %+v", what, *a, *th, *b)
				}
			}
		}
		for cpu, q := range s.Runqueues {
			a, b := before.Runqueues[cpu], after.Runqueues[cpu]
			if a.Online && b.Online && (!q.Online || q.Clock < a.Clock || q.Clock > b.Clock) {
				t.Errorf("runqueue %d: %+v, then %+v, then %+v", cpu, a, q, b)
			}
		}
		if t.Failed() {
			break
		}
		time.Sleep(time.Millisecond) // the others' turn
	}
	t.Logf("%d rounds: %d different, %d missed, %d that moved were not read, %d times all threads were read; %d walks went astray", n, different, missed, moved, whole, r.Astray())
	if whole > n/2 || moved > n {
		t.Errorf("in %d rounds all threads were read %d times, and %d not that moved", n, whole, moved)
	}
}

// ahead has the test run before all that it started.
func ahead(t *testing.T) {
	runtime.LockOSThread()
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, fifo, 0); err != nil {
		t.Log(err)
	}
	t.Cleanup(func() {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0)
		runtime.UnlockOSThread()
	})
}

func has(m map[int]int, key int) bool {
	_, ok := m[key]
	return ok
}

// sleeps is how often each thread has gone to sleep so far, which even those that spin
// do where they fault a page in.
func sleeps(t *testing.T, tids []int) map[int]int {
	t.Helper()
	n := make(map[int]int)
	for _, tid := range tids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		count, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		if n[tid], err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// readNow reports whether a thread that was not read is so when it is tried again:
// nothing can be told of one that does not stay.
func readNow(t *testing.T, r *Reader, keep []uint64, tid int) bool {
	t.Helper()
	var s features.Snapshot
	for range 5 {
		s.Keep = keep
		if awakeNow(t, r, &s)[tid] != nil {
			return true
		}
	}
	return false
}

// differs names what is the same in a and b, before and after, but not in th.
func differs(before *features.Snapshot, a *features.Thread, s *features.Snapshot, th *features.Thread, after *features.Snapshot, b *features.Thread) string {
	mask := func(s *features.Snapshot, i int32) string {
		if i < 0 {
			return "none"
		}
		return s.Masks[i].String()
	}
	fields := func(s *features.Snapshot, t *features.Thread) map[string]any {
		return map[string]any{
			"process": t.TGID, "task": t.Task, "parent": t.PPID, "session": t.Session, "comm": t.Comm, "cgroup": t.Cgroup,
			"policy": t.Policy, "nice": t.Nice, "numa": t.NUMAType, "node": t.PreferredNode,
			"mask": mask(s, t.Allowed), "asked": mask(s, t.Asked), "owner": mask(s, t.Owner), "hold": t.Hold, "managed": t.Managed,
		}
	}
	was, now, then := fields(before, a), fields(s, th), fields(after, b)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if was[name] == then[name] && was[name] != now[name] {
			return fmt.Sprintf("%s is %v, and now %v", name, was[name], now[name])
		}
	}
	if th.Runtime < a.Runtime || th.Runtime > b.Runtime {
		return "the time that it has run does not grow"
	}
	return ""
}

// Real-time threads are not on the list that is walked; those that run are read.
func TestAwakeRealTime(t *testing.T) {
	r := openAwake(t, Options{})
	tid := threads.Spin(t, 1, lastCPU(t)).TIDs[0]
	var s features.Snapshot
	snapshot(t, r, &s)
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(tid, fifo, 0); err != nil {
		t.Skip(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // others may have that CPU now and then
		if th := awakeNow(t, r, &s)[tid]; s.Partial && th != nil && th.Policy == features.SchedFIFO && th.Queued() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("not seen")
		}
	}
}

// Whose ancestor it is, however far up, the program sees even where those between sleep.
func TestAwakeDescends(t *testing.T) {
	r := openAwake(t, Options{Ancestor: int32(os.Getpid())})
	child := exec.Command("sh", "-c", "sh -c 'while kill -0 $PPID; do :; done' 2>/dev/null & wait")
	child.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(-child.Process.Pid, unix.SIGKILL)
		_ = child.Wait()
	}()
	var s features.Snapshot
	snapshot(t, r, &s)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		strangers, found := 0, false
		for _, th := range awakeNow(t, r, &s) {
			found = found || s.Partial && th.Descends && th.PPID == int32(child.Process.Pid)
			if th.Descends && (th.Flags&features.FlagKthread != 0 || th.TGID == 1) {
				strangers++
			}
		}
		if strangers > 0 {
			t.Fatalf("%d threads that are no descendants", strangers)
		}
		if found {
			return
		}
		if time.Now().After(end) {
			t.Fatal("not seen")
		}
	}
}

func fromCPU(cpu int) (set unix.CPUSet) {
	set.Set(cpu)
	return set
}

// Of what is named, only what lives is read, and at most once.
func TestAwakeKeep(t *testing.T) {
	r := openAwake(t, Options{})
	ended, stays := threads.Sleep(t, 3), threads.Sleep(t, 3)
	var s features.Snapshot
	was := snapshot(t, r, &s)
	keep := []uint64{0, 1, 1 << 63, ^uint64(0), was[stays.TIDs[0]].Task, was[stays.TIDs[0]].Task}
	for _, tid := range slices.Concat(ended.TIDs, stays.TIDs) {
		keep = append(keep, was[tid].Task, was[tid].Task+8)
	}
	ended.Stop()
	for range 100 {
		s.Keep = keep
		now := awakeNow(t, r, &s)
		for _, tid := range ended.TIDs {
			if now[tid] != nil {
				t.Fatalf("thread %d has ended, but was read: %+v", tid, *now[tid])
			}
		}
		for _, tid := range stays.TIDs {
			if now[tid] == nil && s.Partial {
				t.Fatalf("thread %d was named, but not read", tid)
			}
		}
	}
	s.Keep = make([]uint64, maxKept)
	if awakeNow(t, r, &s); s.Partial {
		t.Error("more are to be kept than there is room for: want all threads")
	}
}

// A CPU whose runqueue no pass has met has all threads read, once it is online.
func TestAwakeMeets(t *testing.T) {
	r := openAwake(t, Options{})
	var s features.Snapshot
	snapshot(t, r, &s)
	list := filepath.Join(t.TempDir(), "online")
	r.awake.online = list
	for _, tt := range []struct {
		online string
		unmet  bool
		want   bool // all threads are read
	}{{"0", false, false}, {"0", true, true}, {"1-7", true, false}, {"0", false, false}} {
		if err := os.WriteFile(list, []byte(tt.online+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		snapshot(t, r, &s)
		if tt.unmet {
			clear(r.rqs[:rqSize])
		}
		r.awake.looked = 0
		if awakeNow(t, r, &s); s.Partial == tt.want {
			t.Errorf("%+v: a partial snapshot: %v", tt, s.Partial)
		}
	}
}

func TestIDSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s idSet
		for range 2 {
			want := make(map[int32]bool)
			for _, tid := range rapid.SliceOf(rapid.Int32Range(1, 5000)).Draw(t, "ids") {
				if s.add(tid) == want[tid] {
					t.Fatalf("%d: is new: %v", tid, want[tid])
				}
				want[tid] = true
			}
			s.clear()
		}
	})
}
