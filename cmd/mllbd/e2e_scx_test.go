// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/procfile"
	"mllb/scx"
)

// needSchedExt skips a test where no sched_ext scheduler can be loaded.
func needSchedExt(t *testing.T) {
	t.Helper()
	needGuest(t)
	needCPUs(t, 2)
	if err := scx.Supported(); err != nil {
		t.Skip(err)
	}
}

// ofExt counts the threads of processes that are of SCHED_EXT, and all of them.
func ofExt(t *testing.T, pids []int) (ext, all int) {
	t.Helper()
	for tid := range masks(pids) {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			continue // it has ended
		}
		all++
		if attr.Policy == features.SchedExt {
			ext++
		}
	}
	return ext, all
}

// loaded names the scheduler that is loaded.
func loaded(t *testing.T) string {
	t.Helper()
	_, ops, err := procfile.SchedExt("/")
	if err != nil {
		t.Fatal(err)
	}
	return ops
}

// TestBackendSCX: CMD is scheduled by mllb's sched_ext scheduler, no mask is narrowed,
// and the kernel has its threads back afterwards.
func TestBackendSCX(t *testing.T) {
	needSchedExt(t)
	dir, state := t.TempDir(), t.TempDir()
	events, report, gate := filepath.Join(dir, "events"), filepath.Join(dir, "report"), filepath.Join(dir, "gate")
	n := 3 * runtime.NumCPU()
	d := startDaemon(t, state, "--backend", "scx", "--events", events, "--report", report, "--", "crowd", strconv.Itoa(n), cpus(), gate, "3600")
	d.expect("started")
	if ops := loaded(t); !strings.HasPrefix(ops, scx.Name) {
		t.Fatalf("%q is loaded\n%s", ops, d.stderr.String())
	}
	load := slices.Collect(maps.Keys(busy(d.Process.Pid)))
	if ext, all := ofExt(t, load); ext != n || all != n {
		t.Errorf("%d of %d threads of CMD are of SCHED_EXT, want %d", ext, all, n)
	}
	if ext, _ := ofExt(t, []int{d.Process.Pid}); ext > 0 {
		t.Errorf("%d threads of mllbd are of SCHED_EXT", ext)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil { // half of the CPUs have nothing to do, and pull
		t.Fatal(err)
	}
	eventually(t, "decisions are events", func() (bool, any) {
		b, _ := os.ReadFile(events)
		return strings.Count(string(b), "\n") >= 3, len(b)
	})
	for tid, mask := range masks(slices.Collect(maps.Keys(busy(d.Process.Pid)))) {
		if mask != ownMaskText() {
			t.Errorf("thread %d may run on %s only", tid, mask)
		}
	}
	_ = d.Process.Signal(unix.SIGTERM)
	_ = d.Wait()
	if ops := loaded(t); ops != "" {
		t.Errorf("%q is loaded after the end", ops)
	}
	var r struct {
		Enforcer string
		Counters map[string]float64
	}
	b, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || r.Enforcer != "scx" || r.Counters["asked"] == 0 || r.Counters["wakes"]+r.Counters["enqueued"] == 0 {
		t.Errorf("the report: %v, %s", err, b)
	}
	b, _ = os.ReadFile(events)
	for line := range strings.Lines(string(b)) {
		var e struct {
			Task struct {
				TID, Start uint64
				Comm       string
			}
			From, To int
			Verdict  string
			Why      string
			Features map[string]float64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.From == e.To || e.Verdict == "" || e.Why == "" || len(e.Features) < 15 || e.Task.Start == 0 {
			t.Fatalf("event %s: %v", line, err)
		}
	}
	if said := d.stderr.String(); !strings.Contains(said, "sched_ext: wakes") || strings.Contains(said, "level=ERROR") {
		t.Errorf("mllbd said\n%s", said)
	}
}

// TestBackendSCXRefused: where the kernel has no sched_ext, that is said, or masks do.
func TestBackendSCXRefused(t *testing.T) {
	if err := scx.Supported(); !errors.Is(err, scx.ErrUnsupported) {
		t.Skip("this kernel has sched_ext")
	}
	needCPUs(t, 2)
	for _, tt := range []struct {
		fallback string
		code     int
		said     string
	}{
		{"none", exitInternal, "mllbd: scx: this kernel has no sched_ext"},
		{"affinity", 7, "threads are held by their masks"},
	} {
		d := startDaemon(t, t.TempDir(), "--backend", "scx", "--fallback", tt.fallback, "--", "sh", "-c", "exit 7")
		_ = d.Wait()
		if code := d.ProcessState.ExitCode(); code != tt.code || !strings.Contains(d.stderr.String(), tt.said) {
			t.Errorf("--fallback %s: exit status %d, want %d and %q:\n%s", tt.fallback, code, tt.code, tt.said, d.stderr.String())
		}
	}
}

// TestBackendSCXCgroup: threads of a cgroup are put into SCHED_EXT; when mllbd is
// killed, the kernel takes over, and restore puts them back.
func TestBackendSCXCgroup(t *testing.T) {
	needSchedExt(t)
	if testing.Short() {
		t.Skip("-short: TestBackendSCX loads the scheduler")
	}
	l := startLoad(t, "crowd", strconv.Itoa(2*runtime.NumCPU()), cpus(), "3600", "3600")
	state := t.TempDir()
	args := []string{"--backend", "scx", "--cgroup", l.dir}
	d := startDaemon(t, state, args...)
	member := func(what string, want bool) {
		t.Helper()
		eventually(t, what, func() (bool, any) {
			ext, all := ofExt(t, slices.Collect(maps.Keys(busy(l.pid))))
			return all > 0 && (ext == all) == want && (ext == 0) == !want, [2]int{ext, all}
		})
	}
	member("the cgroup's threads are of SCHED_EXT", true)
	_ = d.Process.Signal(unix.SIGKILL)
	_ = d.Wait()
	eventually(t, "the kernel schedules by itself", func() (bool, any) { ops := loaded(t); return ops == "", ops })
	member("its threads stay of SCHED_EXT", true)
	said := restore(t, state)
	if !strings.Contains(said, "threads put back from SCHED_EXT") {
		t.Errorf("mllbd restore: %s", said)
	}
	member("restore puts them back", false)
	if said := restore(t, state); strings.Contains(said, "SCHED_EXT") {
		t.Errorf("mllbd restore, again: %s", said)
	}

	// What was left is healed by the next run as well, and the end of one undoes it.
	d = startDaemon(t, state, args...)
	member("they are of SCHED_EXT again", true)
	d.terminate()
	member("the end puts them back", false)
	if said := d.stderr.String(); strings.Contains(said, "level=ERROR") {
		t.Errorf("mllbd said\n%s", said)
	}
}

// TestBackendSCXEnded: the kernel ends the scheduler (SysRq-S,
// Documentation/admin-guide/sysrq.rst). mllbd ends with a failure that says why, or
// goes on with masks.
func TestBackendSCXEnded(t *testing.T) {
	needSchedExt(t)
	if testing.Short() {
		t.Skip("-short: TestBackendSCX loads the scheduler")
	}
	for _, fallback := range []string{"none", "affinity"} {
		t.Run(fallback, func(t *testing.T) {
			n := 2 * runtime.NumCPU()
			l := startLoad(t, "crowd", strconv.Itoa(n), cpus(), "3600", "3600")
			d := startDaemon(t, t.TempDir(), "--backend", "scx", "--hold", "busy", "--fallback", fallback, "--cgroup", l.dir)
			eventually(t, "the scheduler is loaded", func() (bool, any) { ops := loaded(t); return strings.HasPrefix(ops, scx.Name), ops })
			time.Sleep(2 * time.Second) // mllbd knows of it
			if err := os.WriteFile("/proc/sysrq-trigger", []byte("S"), 0); err != nil {
				t.Fatal(err)
			}
			if fallback == "affinity" {
				eventually(t, "threads are held", func() (bool, any) {
					on, whole := heldOn(slices.Collect(maps.Keys(busy(l.pid))))
					return whole == 0 && slices.Max(on) > 0, on
				})
				d.terminate()
			} else if err := d.Wait(); err == nil || d.ProcessState.ExitCode() != exitFailure {
				t.Errorf("mllbd ended with %v", err)
			}
			if said := d.stderr.String(); !strings.Contains(said, "the kernel ended the scheduler") {
				t.Errorf("mllbd said\n%s", said)
			}
			if ext, _ := ofExt(t, slices.Collect(maps.Keys(busy(l.pid)))); ext > 0 {
				t.Errorf("%d threads are of SCHED_EXT", ext)
			}
		})
	}
}

// TestBackendSCXHotplug: when a CPU goes and comes, the kernel ends the scheduler, and
// mllbd loads it again for those that are there.
func TestBackendSCXHotplug(t *testing.T) {
	needSchedExt(t)
	if testing.Short() {
		t.Skip("-short: TestBackendSCX loads the scheduler")
	}
	n := 2 * runtime.NumCPU()
	d := startDaemon(t, t.TempDir(), "--backend", "scx", "--", "crowd", strconv.Itoa(n), cpus(), "3600", "3600")
	d.expect("started")
	time.Sleep(2 * time.Second) // mllbd knows of the scheduler
	last := runtime.NumCPU() - 1
	for _, online := range []bool{false, true} {
		before := enabled(t)
		setOnline(t, online, last)
		eventually(t, fmt.Sprintf("the scheduler is loaded again, the CPU is online: %t", online), func() (bool, any) {
			ops, times := loaded(t), enabled(t)
			return strings.HasPrefix(ops, scx.Name) && times > before, []any{ops, before, times}
		})
		if ext, all := ofExt(t, slices.Collect(maps.Keys(busy(d.Process.Pid)))); ext != n || all != n {
			t.Errorf("%d of %d threads of CMD are of SCHED_EXT, want %d", ext, all, n)
		}
		time.Sleep(2 * time.Second)
	}
	d.terminate()
	if said := d.stderr.String(); strings.Count(said, "the scheduler is loaded again") != 2 || strings.Contains(said, "level=ERROR") {
		t.Errorf("mllbd said\n%s", said)
	}
}

// enabled is how often a scheduler was loaded since the kernel started.
func enabled(t *testing.T) int {
	t.Helper()
	text, err := readLine("/sys/kernel/sched_ext/enable_seq")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
