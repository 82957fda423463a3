// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests in e2e_*_test.go run mllbd on this machine's kernel. It manages
// only loads that the tests start: the command after --, or a cgroup of theirs.

// needCPUs skips a test on a machine with fewer CPUs, or where masks cannot be
// set.
func needCPUs(t *testing.T, n int) {
	t.Helper()
	if runtime.NumCPU() < n {
		t.Skipf("needs %d CPUs, there are %d", n, runtime.NumCPU())
	}
	if _, err := probeAffinity("/"); err != nil {
		t.Skip(err)
	}
}

// daemonProc is a running mllbd.
type daemonProc struct {
	*exec.Cmd
	t      *testing.T
	state  string
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// defaultSignals has children of this process start with the default action
// for the signals that end mllbd, also where the tests run under nohup(1) or in
// the background of a shell, which ignore some of them: a signal that is caught
// is reset by execve(2), one that is ignored is not.
var defaultSignals = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
})

// startDaemon starts `mllbd run` with a state directory of the test's own.
func startDaemon(t *testing.T, state string, args ...string) *daemonProc {
	t.Helper()
	defaultSignals()
	d := &daemonProc{t: t, state: state}
	run := []string{"run", "--state-dir", state, "--max-cpu", "0"} // what a test waits for should not wait, too
	if inGuest {
		run = append(run, "--interval", "400ms") // unless args say otherwise; ten times a second it is a load like any
	}
	d.Cmd = exec.Command("mllbd", append(run, args...)...)
	d.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.Stderr = &d.stderr
	out, err := d.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(out)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-d.Process.Pid, syscall.SIGKILL) })
	return d
}

// expect waits for a line of the command's output.
func (d *daemonProc) expect(line string) {
	d.t.Helper()
	for {
		got, err := d.stdout.ReadString('\n')
		if err != nil {
			_ = d.Wait()
			d.t.Fatalf("waiting for %q: %v\n%s", line, err, d.stderr.String())
		}
		if strings.TrimSpace(got) == line {
			return
		}
	}
}

// end waits for mllbd to end by itself, with success.
func (d *daemonProc) end() {
	d.t.Helper()
	_, _ = io.Copy(io.Discard, d.stdout)
	if err := d.Wait(); err != nil {
		d.t.Errorf("mllbd: %v\n%s", err, d.stderr.String())
	}
	if s := d.stderr.String(); strings.Contains(s, "level=ERROR") || strings.Contains(s, "level=WARN") {
		d.t.Errorf("mllbd complained:\n%s", s)
	}
}

// spread counts, with its own eyes, the processes of a load on each CPU. It
// reads little, for a busy reader is a load itself.
func spread(load map[int]bool) []int {
	on := make([]int, runtime.NumCPU())
	for pid := range load {
		if st, err := readStat(pid); err == nil && st.cpu < len(on) {
			on[st.cpu]++
		}
	}
	return on
}

// busyTime returns how long the CPUs were busy, and how much of it was spent
// on the load, in clock ticks: fields of proc_stat(5) and proc_pid_stat(5).
func busyTime(load map[int]bool) (all, ours int) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for i, f := range bytes.Fields(line) {
		if n, err := strconv.Atoi(string(f)); err == nil && i != 4 && i != 5 && i < 8 { // neither idle nor iowait
			all += n
		}
	}
	for pid := range load {
		if st, err := readStat(pid); err == nil {
			ours += st.ticks
		}
	}
	return all, ours
}

// busy returns the busy processes below pid.
func busy(pid int) map[int]bool {
	found := make(map[int]bool)
	for _, p := range descendants(pid) {
		if st, err := readStat(p); err == nil && st.comm == "yes" {
			found[p] = true
		}
	}
	return found
}

// watch samples the load, on a real machine ten times a second, and returns what share of the busy
// time others had: mllbd balances the machine, and what others do is evened out
// with the load.
func watch(load map[int]bool, n int) (samples [][]int, others float64) {
	all, ours := busyTime(load)
	ticker := time.NewTicker(glance() * 5)
	defer ticker.Stop()
	for ; len(samples) < n; <-ticker.C {
		samples = append(samples, spread(load))
	}
	allNow, oursNow := busyTime(load)
	return samples, 1 - float64(oursNow-ours)/float64(max(1, allNow-all))
}

// even: no CPU has two more than another. left: the first half has nothing.
func even(on []int) bool { return slices.Max(on)-slices.Min(on) <= 1 }
func left(on []int) bool { return slices.Max(on[:len(on)/2]) == 0 }

// TestOwnSpreads is the main job: when all of a load is held, the processes on
// the first half of the CPUs end; the rest are spread evenly and stay so, on a
// real machine within a second. Under the control policy nothing moves, which
// shows that it is not the kernel who spreads.
func TestOwnSpreads(t *testing.T) {
	needCPUs(t, 2)
	// Enough that half of them can be even: 8 a CPU on 2 of them, or 2.
	n, samples, want := max(16, 2*runtime.NumCPU()), 50, 95
	if testing.Short() || inGuest {
		samples = 20
	}
	if inGuest {
		want = 75 // mllbd and this test are loads like others there, and room is made for them
	}
	for _, tt := range []struct {
		policy string
		want   string
		good   func(on []int) bool
	}{
		{"mlp", "spread evenly", even},
		{"never", "left on the second half of the CPUs", left},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			held := filepath.Join(t.TempDir(), "held")
			d := startDaemon(t, t.TempDir(), "--mode", "own", "--policy", tt.policy, "--",
				"crowd", strconv.Itoa(n), cpus(), held, "3600")
			d.expect("started")
			d.waitAllHeld(n)
			if err := os.WriteFile(held, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			d.expect("thinned")
			load := busy(d.Process.Pid)
			if len(load) < n/5 || len(load) > n-n/5 {
				t.Skipf("others crowd this machine: %d of %d processes are left", len(load), n)
			}
			if inGuest {
				eventually(t, "the load is "+tt.want, func() (bool, any) { on := spread(load); return tt.good(on), on })
			} else {
				time.Sleep(time.Second)
			}
			seen, others := watch(load, samples)
			d.terminate()
			if others > 0.2 && !inGuest {
				t.Skipf("others are busy on this machine: %.0f %% of the CPU time was theirs", 100*others)
			}
			good := 0
			for _, on := range seen {
				if tt.good(on) {
					good++
				}
			}
			t.Logf("%d processes: %s in %d of %d samples: %v\n%s", len(load), tt.want, good, len(seen), seen, d.stderr.String())
			if good*100 < want*len(seen) {
				t.Errorf("%s in %d of %d samples, want %d %%", tt.want, good, len(seen), want)
			}
		})
	}
}

// waitAllHeld waits until each of n busy processes may run on one CPU only.
func (d *daemonProc) waitAllHeld(n int) {
	d.t.Helper()
	eventually(d.t, "every process is held", func() (bool, any) {
		held := 0
		for _, mask := range masks(slices.Collect(maps.Keys(busy(d.Process.Pid)))) {
			if !strings.ContainsAny(mask, ",-") {
				held++
			}
		}
		return held == n, held
	})
}

// terminate ends a daemon that runs a command, and the command.
func (d *daemonProc) terminate() {
	_ = d.Process.Signal(unix.SIGTERM)
	_ = d.Wait()
}

// cpus is an argument of crowd.
func cpus() string { return strconv.Itoa(runtime.NumCPU()) }

// watchMasks samples the masks of a load until d ends and calls seen for each
// that is not the whole.
func watchMasks(d *daemonProc, whole string, seen func(tid int, mask string)) {
	done := make(chan struct{})
	go func() { d.end(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
		}
		for tid, mask := range masks(descendants(d.Process.Pid)) {
			if mask != whole {
				seen(tid, mask)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestObserveChangesNothing(t *testing.T) {
	needCPUs(t, 2)
	d := startDaemon(t, t.TempDir(), "--mode", "observe", "--interval", "20ms", "--", "crowd", "8", cpus(), "1", "1")
	d.expect("started")
	watchMasks(d, ownMaskText(), func(tid int, mask string) {
		t.Errorf("observe: thread %d may run on %s only", tid, mask)
	})
	if _, err := os.Stat(filepath.Join(d.state, "journal")); err == nil {
		t.Error("observe wrote a journal")
	}
}

// TestAssistNarrowsWhatItMoves compares the masks that an independent reader
// saw with the moves in the events file.
func TestAssistNarrowsWhatItMoves(t *testing.T) {
	needCPUs(t, 2)
	events := filepath.Join(t.TempDir(), "events")
	d := startDaemon(t, t.TempDir(), "--mode", "assist", "--policy", "always", "--lease", "300ms", "--interval", "20ms",
		"--events", events, "--", "crowd", "9", cpus(), "1.5", "1.5")
	narrowed := make(map[int]int)
	d.expect("started")
	watchMasks(d, ownMaskText(), func(tid int, mask string) { narrowed[tid]++ })
	moved := make(map[int]int)
	b, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e struct {
			Task    struct{ TID int }
			Applied bool
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.Applied {
			moved[e.Task.TID]++
		}
	}
	t.Logf("%d threads moved, %d seen narrowed", len(moved), len(narrowed))
	if len(moved) == 0 {
		t.Error("nothing was moved: nothing is shown")
	}
	for tid, samples := range narrowed {
		if moved[tid] == 0 {
			t.Errorf("thread %d was narrowed in %d samples and never moved", tid, samples)
		}
	}
}
