// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mllb/internal/procfile"
	"mllb/topology"
)

// loadForever is a process that is a scheduler's loader.
func loadForever(partial bool) error {
	topo, err := topology.Read("/")
	if err != nil {
		return err
	}
	s, err := Open(Config{Policy: "cfs", Topology: topo, Partial: partial, MigrationCost: 500 * time.Microsecond})
	if err != nil {
		return err
	}
	fmt.Println("loaded")
	time.Sleep(time.Hour)
	return s.Close()
}

// waitState waits until sched_ext is in a state.
func waitState(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); state(t) != want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("sched_ext is %s, not %s", state(t), want)
		}
	}
}

// maskOf returns Cpus_allowed_list of a process.
func maskOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if mask, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(mask)
		}
	}
	t.Fatalf("no mask of %d", pid)
	return ""
}

// TestKilled: when the loader is killed, the kernel's own scheduler is back, and all
// threads go on with their masks. As often as MLLB_KILLS says.
func TestKilled(t *testing.T) {
	needSchedExt(t)
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	if n, err := strconv.Atoi(os.Getenv("MLLB_KILLS")); err == nil {
		rounds = n
	}
	hogs := startHogs(t, runtime.NumCPU()+1, time.Hour)
	defer kill(hogs)
	ran := make([]uint64, len(hogs))
	before := maskOf(t, hogs[0].Process.Pid)
	for i := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MLLB_SCX_LOAD="+[]string{"whole", "partial"}[i%2])
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || said != "loaded\n" {
			t.Fatalf("%q, %v", said, err)
		}
		time.Sleep(rand.N(300 * time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		waitState(t, "disabled")
		time.Sleep(200 * time.Millisecond)
		for j, h := range hogs {
			st, err := procfile.ReadStat(fmt.Sprintf("/proc/%d", h.Process.Pid))
			if err != nil || st.State == 'Z' || st.UTime+st.STime <= ran[j] {
				t.Errorf("round %d: a thread does not go on: %v, %+v", i, err, st)
			}
			ran[j] = st.UTime + st.STime
			if mask := maskOf(t, h.Process.Pid); mask != before {
				t.Errorf("round %d: a thread may run on %s, before on %s", i, mask, before)
			}
		}
	}
	t.Logf("%d kills; CPU times %v ticks", rounds, ran)
}

// needSchedExt skips a test outside of guests, and where the kernel lacks sched_ext.
func needSchedExt(t *testing.T) {
	t.Helper()
	if !inGuest {
		t.Skip("changes the machine as a whole, so it needs a guest: mllb lab test scx")
	}
	if _, err := os.Stat("/sys/kernel/sched_ext"); err != nil {
		t.Skip(ErrUnsupported)
	}
}

// ended waits until the kernel has ended a scheduler, and returns why.
func ended(t *testing.T, s *Scheduler, within time.Duration) *Exit {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		var e *Exit
		if errors.As(s.Ended(), &e) {
			return e
		}
		if time.Now().After(end) {
			t.Fatalf("the scheduler goes on: %s", state(t))
		}
	}
}

// TestHotplug: a CPU that goes ends the scheduler, and the kernel says that it is to be
// loaded again.
func TestHotplug(t *testing.T) {
	needSchedExt(t)
	if runtime.NumCPU() < 2 {
		t.Skip("a machine of one CPU")
	}
	s := load(t, Config{Policy: "cfs"})
	hogs := startHogs(t, 2*runtime.NumCPU(), 5*time.Second)
	online := "/sys/devices/system/cpu/cpu1/online"
	if err := os.WriteFile(online, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(online, []byte("1"), 0) })
	e := ended(t, s, time.Minute)
	t.Logf("%v (kind %d, code %#x)", e, e.Kind, e.Code)
	if !e.Restart() {
		t.Errorf("%+v asks for no restart", e)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := load(t, Config{Policy: "cfs"})
	times(t, hogs)
	if e := again.Ended(); e != nil {
		t.Error(e)
	}
}

// TestStall: a thread of a scheduler of its own waits for ever beside busy threads of the
// fair class, where nothing is kept for it. The kernel's watchdog ends the scheduler.
func TestStall(t *testing.T) {
	needSchedExt(t)
	servers, _ := filepath.Glob("/sys/kernel/debug/sched/ext_server/cpu*/runtime")
	if len(servers) == 0 {
		t.Skip("no servers of the ext class, or no debugfs")
	}
	s := load(t, Config{Policy: "cfs", Partial: true})
	for _, file := range servers {
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("0"), 0); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(file, was, 0) })
	}
	fair := startHogs(t, 2*runtime.NumCPU(), 35*time.Second, "MLLB_SCX_NO_PAUSE=1")
	ext := startHogs(t, 1, 20*time.Second, "MLLB_SCX_ASK=1")
	e := ended(t, s, 40*time.Second)
	t.Logf("%v (kind %d)", e, e.Kind)
	if !strings.Contains(e.Error(), "stall") {
		t.Errorf("ended by %+v", e)
	}
	kill(append(fair, ext...))
	waitState(t, "disabled")
}

// TestCgroups: cgroups come and go under load, with threads in them.
func TestCgroups(t *testing.T) {
	needSchedExt(t)
	if testing.Short() {
		t.Skip("-short: half a minute of a guest")
	}
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		t.Skip("no cgroup v2")
	}
	s := load(t, Config{Policy: "cfs"})
	hogs := startHogs(t, 2*runtime.NumCPU(), 12*time.Second)
	dir := filepath.Join(root, "mllb-scx-test")
	for end, i := time.Now().Add(8*time.Second), 0; time.Now().Before(end); i++ {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		h := hogs[i%len(hogs)]
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendln(nil, h.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), fmt.Appendln(nil, h.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CPU times %v ms", times(t, hogs))
	if e := s.Ended(); e != nil {
		t.Error(e)
	}
}

// storm starts n threads, 200 at a time, that work a little, sleep and end.
func storm(n int) {
	for ; n > 0; n -= 200 {
		var all sync.WaitGroup
		for range min(n, 200) {
			all.Go(func() {
				runtime.LockOSThread() // ending a locked goroutine ends its thread
				for range 2 {
					for until := time.Now().Add(200 * time.Microsecond); time.Now().Before(until); {
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
	}
}

// TestThreads: threads come and go beside busy ones. As many as MLLB_THREADS says.
func TestThreads(t *testing.T) {
	needSchedExt(t)
	threads := 5_000
	if testing.Short() {
		threads = 500
	}
	if n, err := strconv.Atoi(os.Getenv("MLLB_THREADS")); err == nil {
		threads = n
	}
	s := load(t, Config{Policy: "cfs"})
	hogs := startHogs(t, runtime.NumCPU(), time.Hour)
	defer kill(hogs)
	began := time.Now()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MLLB_SCX_STORM="+strconv.Itoa(threads))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Ended(); e != nil {
		t.Fatal(e)
	}
	t.Logf("%d threads in %v; %+v", threads, time.Since(began), c)
	if c.Enqueued < uint64(threads) {
		t.Errorf("%d threads were queued, of %d that there were", c.Enqueued, threads)
	}
}
