// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/scheduler"
)

// loadEnv makes the test binary a load instead: the arguments of busyThreads.
const loadEnv = "MLLB_TRACE_LOAD"

func TestMain(m *testing.M) {
	var n, part int
	if _, err := fmt.Sscan(os.Getenv(loadEnv), &n, &part); err == nil {
		busyThreads(n, time.Duration(part))
	}
	os.Exit(m.Run())
}

// busyThreads never returns: threads that compute over memory of their own for
// bursts of different lengths, so that queues grow, empty and are balanced. The
// bursts are a part of 5 to 65 ms, the pauses between them up to 8 ms.
func busyThreads(n int, part time.Duration) {
	runtime.GOMAXPROCS(n)
	for i := range n {
		go func() {
			runtime.LockOSThread()
			if i%8 == 7 { // some are not to be moved
				pin := unix.CPUSet{}
				pin.Set(i % runtime.NumCPU())
				_ = unix.SchedSetaffinity(0, &pin)
			}
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, i%4*3)
			memory := make([]byte, 4<<20)
			for k := 0; ; k++ {
				for end := time.Now().Add(time.Duration(5+(i*7+k*13)%60) * time.Millisecond / part); time.Now().Before(end); {
					for j := 0; j < len(memory); j += 4096 {
						memory[j]++
					}
				}
				time.Sleep(time.Duration((i+k)%9) * time.Millisecond)
			}
		}()
	}
	select {}
}

func needLab(t testing.TB) {
	t.Helper()
	if os.Getenv("MLLB_LAB") != "1" {
		t.Skip("needs a guest of the lab, whose schedstats and load are ours: mllb lab test features/trace")
	}
}

// startLoad starts processes of n threads each, in a cgroup unless it is "".
func startLoad(t *testing.T, cgroup string, processes, n int) {
	t.Helper()
	startLoadOf(t, cgroup, processes, n, 1)
}

// startLoadOf has bursts that are a part of the usual.
func startLoadOf(t testing.TB, cgroup string, processes, n, part int) {
	t.Helper()
	for range processes {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", loadEnv, n, part))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if cgroup != "" {
			write(t, filepath.Join(cgroup, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid))
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// throttled makes a cgroup whose threads may use a few CPUs' time at the most.
func throttled(t *testing.T) string {
	t.Helper()
	dir := "/sys/fs/cgroup/mllb-throttled"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	write(t, filepath.Join(dir, "cpu.max"), "100000 100000")
	return dir
}

// record traces for d and returns every record; the tracer is stopped then.
func record(t *testing.T, tr *Tracer, d time.Duration) []features.Record {
	t.Helper()
	var recs []features.Record
	var err error
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if recs, err = tr.Read(recs, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Stop(); err != nil {
		t.Fatal(err)
	}
	if recs, err = tr.Read(recs, 1<<20); err != nil {
		t.Fatal(err)
	}
	return recs
}

// TestDecisions records a loaded guest and replays the kernel's rule on what it
// decided. It is what shows that fields and labels are right.
func TestDecisions(t *testing.T) {
	needLab(t)
	for _, tt := range []struct {
		name string
		opt  Options
		load func(t *testing.T)
	}{
		{"fentry", Options{AllDomains: true, backend: "fentry"}, func(t *testing.T) { startLoad(t, "", 2, runtime.NumCPU()) }},
		{"buddies and throttling", Options{}, func(t *testing.T) {
			write(t, "/sys/kernel/debug/sched/features", "NEXT_BUDDY")
			t.Cleanup(func() { write(t, "/sys/kernel/debug/sched/features", "NO_NEXT_BUDDY") })
			startLoad(t, throttled(t), 1, runtime.NumCPU())
			startLoad(t, "", 1, runtime.NumCPU())
		}},
		{"kprobe, usable only", Options{Usable: true, backend: "kprobe"}, func(t *testing.T) { startLoad(t, "", 2, runtime.NumCPU()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.opt.backend != "fentry" {
				t.Skip("-short: each takes 15 s and more of a guest")
			}
			tr, err := Open(tt.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			// Only now: patching the kernel's code takes long under load.
			tt.load(t)
			recs := record(t, tr, 6*time.Second)
			checkCounters(t, tr, len(recs))
			checkRecords(t, tr, recs, tt.opt)
		})
	}
}

// checkCounters accounts for every call.
func checkCounters(t *testing.T, tr *Tracer, read int) {
	t.Helper()
	c, err := tr.Counters()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %+v, migration cost from %s", tr.Kernel, tr.Backend, c, tr.CostSource)
	if err := c.Check(); err != nil || c.Records != uint64(read) || c.Drops() != 0 || read == 0 {
		t.Errorf("%v; %d records read, %+v", err, read, c)
	}
	for cond, n := range tr.Contradictions() {
		if n != 0 {
			t.Errorf("%v: %d records contradict the kernel's counters", features.Condition(cond), n)
		}
	}
}

// checkRecords replays the rule on the usable records.
func checkRecords(t *testing.T, tr *Tracer, recs []features.Record, opt Options) {
	t.Helper()
	by := map[string]int{}
	wrong := map[string]int{}
	for i := range recs {
		r := &recs[i]
		by[r.Condition.String()]++
		if smt := r.Domain&features.ShareCPUCapacity != 0; smt && !opt.AllDomains {
			t.Fatalf("a record of a SMT domain: %+v", *r)
		}
		if r.Condition != features.Passed {
			if opt.Usable {
				t.Fatalf("a record that is not usable: %+v", *r)
			}
			continue
		}
		if r.NextBuddy {
			by["next buddy"]++
		}
		by[fmt.Sprintf("migrate %v", r.Migrate)]++
		if (scheduler.CFS{}).Decide(&r.Decision).Migrate == r.Migrate {
			continue
		}
		why := difference(tr.decoder.version, r)
		if wrong[why]++; wrong[why] <= 3 {
			t.Logf("%s: %+v", why, *r)
		}
		if why == "" {
			t.Errorf("the rule disagrees, and nothing explains it: %+v", *r)
		}
	}
	if by["passed"] == 0 {
		t.Error("no usable record")
	}
	t.Logf("%v; the rule disagrees on %v", by, wrong)
}

// difference names the known difference between this kernel's rule and 6.12's
// that explains the record, or nothing. 7.2's migrate_degrades_locality takes
// equal weights for neutral and goes on to task_hot; 6.12's for an improvement.
func difference(v version, r *features.Record) string {
	if v.before(version{7, 2}) {
		return ""
	}
	if (scheduler.CFS{TiesNeutral: true}).Decide(&r.Decision).Migrate == r.Migrate {
		return "equal weights are neutral"
	}
	return ""
}

// TestDrops lets a ring of one page overflow: what is lost is counted.
func TestDrops(t *testing.T) {
	needLab(t)
	tr, err := Open(Options{AllDomains: true, Ring: os.Getpagesize()})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	startLoad(t, "", 2, runtime.NumCPU())
	for c := (Counters{}); c.Full == 0; time.Sleep(100 * time.Millisecond) {
		if c, err = tr.Counters(); err != nil {
			t.Fatal(err)
		}
	}
	recs := record(t, tr, 0)
	c, err := tr.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil || c.Records != uint64(len(recs)) || c.Full == 0 {
		t.Errorf("%v; %d records read, %+v", err, len(recs), c)
	}
}
