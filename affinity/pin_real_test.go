// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/bpf"
)

// pins starts MLLB_FORKS children, half of them processes and half threads, of
// threads that are held meanwhile. Most pin themselves to one CPU at a random
// moment; all look a while later whether they have what they, or their parents'
// owner, asked for.
func pins() {
	forks, _ := strconv.Atoi(os.Getenv("MLLB_FORKS"))
	fmt.Println("ready")
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil { // before the first hold
		panic(err)
	}
	bufio.NewReader(os.Stdin).ReadString('\n') // held by now
	var lost, left, slow, overtaken atomic.Int32
	count := func(verdict int) {
		switch verdict {
		case verdictLost:
			lost.Add(1)
		case verdictLeft:
			left.Add(1)
		case verdictSlow:
			slow.Add(1)
		case verdictOvertaken:
			overtaken.Add(1)
		}
	}
	slots := make(chan struct{}, 48)
	done := make(chan struct{}, forks)
	for i := range forks {
		slots <- struct{}{}
		// Held threads of this process do this, one after the other.
		c := chosen{cpu: -1, wait: rand.Int64N(4e6), all: cpuWords(&all)}
		if rand.IntN(4) > 0 {
			c.cpu = rand.IntN(all.Count())
		}
		if i%2 == 0 {
			go func() {
				runtime.LockOSThread()                   // its thread ends with it
				if v := c.try(false); v != verdictLeft { // it may be an old thread, and held
					count(v)
				}
				<-slots
				done <- struct{}{}
			}()
			continue
		}
		go func() {
			defer func() { <-slots; done <- struct{}{} }()
			pid := forkTry(&c)
			if pid < 0 {
				panic("fork")
			}
			var status unix.WaitStatus
			for {
				if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
					break
				}
			}
			count(status.ExitStatus())
		}()
	}
	for range forks {
		<-done
	}
	fmt.Printf("%d lost, %d left, %d lived too long, %d overtaken\n", lost.Load(), left.Load(), slow.Load(), overtaken.Load())
}

// What becomes of a child.
const (
	verdictRight = iota
	verdictLost  // it does not have the CPU that it pinned itself to
	verdictLeft  // it pinned itself to none, and has a held thread's mask
	verdictSlow  // it lived so long that it was held itself
	// For a moment it did not have that CPU: mllbd set a mask at the same time, and then
	// gave it what it had asked for (Enforcer.overtook).
	verdictOvertaken
)

const maskWords = 16

// chosen is what a child does: wait, pin itself to a CPU (none if negative), wait.
type chosen struct {
	cpu  int
	wait int64 // ns
	all  [maskWords]uint64
}

func cpuWords(set *unix.CPUSet) (w [maskWords]uint64) {
	for i := range set {
		w[i] = uint64(set[i])
	}
	return w
}

// try runs after a fork as well: no memory, no locks, nothing of the runtime.
//
//go:nosplit
//go:norace
func (c *chosen) try(forked bool) int {
	start := clock(forked)
	verdict := c.look(forked)
	if clock(forked)-start > tooLong {
		return verdictSlow
	}
	return verdict
}

// tooLong is half of what a thread's age is before it is held.
const tooLong = 3e9

//go:nosplit
//go:norace
func clock(forked bool) int64 {
	var ts [2]int64
	if forked {
		syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	} else {
		unix.Syscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	}
	return ts[0]*1e9 + ts[1]
}

//go:nosplit
//go:norace
func (c *chosen) look(forked bool) int {
	nap(c.wait, forked)
	var mask [maskWords]uint64
	want := c.all
	if c.cpu >= 0 {
		mask[c.cpu>>6] = 1 << (c.cpu & 63)
		want = mask
		unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	}
	looks, verdict := 60, verdictRight // some ticks
	if c.cpu < 0 {
		looks = 400 // an inherited mask is given back by then, however busy the machine is
	}
	for range looks {
		nap(5e6, forked)
		for i := range mask {
			mask[i] = 0
		}
		unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
		if c.cpu < 0 && mask == want {
			return verdictRight
		}
		switch {
		case c.cpu < 0:
		case mask != want:
			verdict = verdictLost
		case verdict == verdictLost:
			verdict = verdictOvertaken
		}
	}
	if c.cpu >= 0 {
		return verdict
	}
	return verdictLeft
}

// nap is nanosleep(2), of which the runtime is told but after a fork.
//
//go:nosplit
//go:norace
func nap(ns int64, forked bool) {
	ts := [2]int64{0, ns}
	if forked {
		syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
		return
	}
	time.Sleep(time.Duration(ns))
}

// forkTry forks this thread, raw; the child ends with its verdict.
//
//go:nosplit
//go:norace
func forkTry(c *chosen) int {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	if pid == 0 {
		verdict := c.try(true)
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(verdict), 0, 0)
		}
	}
	return int(pid)
}

// TestPinsReal: children of held threads that pin themselves at random moments keep
// what they chose, and those that do not get their owner's mask: by marks, and by
// lineage as before 6.2. MLLB_FORKS says how many there are.
func TestPinsReal(t *testing.T) {
	sys := needRealHost(t)
	exact := true
	t.Run("marks", func(t *testing.T) {
		marks, err := bpf.OpenLook(bpf.Options{})
		exact = err == nil
		if err != nil {
			t.Skipf("no marks: %v", err)
		}
		defer marks.Close()
		pinsReal(t, sys, marks)
	})
	t.Run("lineage", func(t *testing.T) {
		if testing.Short() && exact {
			t.Skip("-short: marks are used here")
		}
		pinsReal(t, sys, nil)
	})
}

func pinsReal(t *testing.T, sys *linux, marks Marks) {
	reader, err := bpf.Open(bpf.Options{})
	if err != nil {
		t.Skipf("no fork tracer: %v", err)
	}
	defer reader.Close()
	exact := marks != nil
	forks, err := bpf.OpenForks()
	if err != nil {
		t.Fatal(err)
	}
	if err := forks.WatchPins(); err != nil {
		t.Logf("who pins itself at the very moment of a change, or without marks to the CPU that it was born on, may lose that: %v", err)
	} else {
		exact = true
	}
	n := "400"
	if testing.Short() {
		n = "200"
	}
	if v := os.Getenv("MLLB_FORKS"); v != "" {
		n = v
	}
	cmd := helperCommand("pins", "MLLB_FORKS="+n)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	e, _, err := Open(Config{StateDir: t.TempDir() + "/state", Forks: forks, Marks: marks})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		e.Beside()
		for f, err := forks.Read(); err == nil; f, err = forks.Read() {
			e.Forked(Fork{Parent: f.Parent, Child: features.ID{TID: f.Child, Start: f.Start}, TGID: f.TGID})
		}
	}()
	said := make(chan string, 1)
	session := int32(cmd.Process.Pid)
	first, err := sys.Task(session, session)
	if err != nil {
		t.Fatal(err)
	}
	allowed := first.Mask
	var s features.Snapshot
	started := false
	for len(said) == 0 {
		if !started && e.Held() > 0 {
			started = true
			go func() {
				line, _ := lines.ReadString('\n')
				said <- strings.TrimSpace(line)
			}()
			fmt.Fprintln(in)
		}
		if err := reader.Snapshot(&s); err != nil {
			t.Fatal(err)
		}
		if err := e.Sync(&s); err != nil {
			t.Errorf("sync: %v", err)
		}
		var holds []features.Hold
		for i := range s.Threads {
			th := &s.Threads[i]
			// As Filter does it: whose mask nobody narrowed, and who is not new. Children never grow so old.
			if th.Session == session && s.Masks[th.Owner].Equal(allowed) && s.Time/1e7-int64(th.Start) > 600 {
				holds = append(holds, features.Hold{Thread: int32(i), CPU: int32(rand.IntN(allowed.Count()))})
			}
		}
		e.Apply(&s, holds, 0)
		time.Sleep(20 * time.Millisecond)
	}
	stats := e.Stats()
	report, err := e.Close()
	if err != nil || report.Failed > 0 {
		t.Errorf("close: %v, %v", report, err)
	}
	got := <-said
	if exact && !strings.HasPrefix(got, "0 lost, 0 left") || !strings.Contains(got, " 0 left") {
		t.Errorf("of %s children: %s; %+v, %v", n, got, stats, report)
	}
	if stats.Forks == 0 {
		t.Error("no child had inherited a narrowed mask: nothing is shown")
	}
	t.Logf("%s children: %s; %+v; %v", n, got, stats, report)
	_ = cmd.Wait()
	_ = forks.Close()
}
