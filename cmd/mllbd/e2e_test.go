// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
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
	return startProgram(t, state, append([]string{"mllbd"}, runArgs(state, args...)...)...)
}

// runArgs are those of a `run` under which no test waits for what a tick costs.
func runArgs(state string, args ...string) []string {
	run := []string{"run", "--state-dir", state, "--max-cpu", "0"}
	if inGuest {
		run = append(run, "--interval", "400ms") // unless args say otherwise; ten times a second it is a load like any
	}
	return append(run, args...)
}

// startProgram starts mllbd, by whatever name.
func startProgram(t *testing.T, state string, argv ...string) *daemonProc {
	t.Helper()
	d := prepareProgram(t, state, argv...)
	d.start()
	return d
}

// prepareProgram prepares what start will start.
func prepareProgram(t *testing.T, state string, argv ...string) *daemonProc {
	t.Helper()
	defaultSignals()
	d := &daemonProc{t: t, state: state}
	d.Cmd = exec.Command(argv[0], argv[1:]...)
	d.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.Stderr, d.WaitDelay = &d.stderr, patience() // what outlives mllbd may hold it open
	out, err := d.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(out)
	return d
}

func (d *daemonProc) start() {
	d.t.Helper()
	if err := d.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = syscall.Kill(-d.Process.Pid, syscall.SIGKILL) })
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

// expectedWarning matches what a host is warned of that lacks something, as debugfs
// where eBPF is refused, or that is too slow for the CPU limit.
var expectedWarning = regexp.MustCompile(`msg="(snapshots lack |\d+ of \d+ ticks were left out, )`)

// end waits for mllbd to end by itself, with success.
func (d *daemonProc) end() {
	d.t.Helper()
	_, _ = io.Copy(io.Discard, d.stdout)
	if err := d.Wait(); err != nil {
		d.t.Errorf("mllbd: %v\n%s", err, d.stderr.String())
	}
	for line := range strings.Lines(d.stderr.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") && !expectedWarning.MatchString(line) {
			d.t.Errorf("mllbd complained: %s\n%s", line, d.stderr.String())
		}
	}
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

// heldOn counts the threads of a load that are held on each CPU; whole tells how
// many are held on none.
func heldOn(load []int) (on []int, whole int) {
	on = make([]int, runtime.NumCPU())
	for _, mask := range masks(load) {
		if cpu, err := strconv.Atoi(mask); err == nil {
			on[cpu]++
		} else {
			whole++
		}
	}
	return on, whole
}

// even: no CPU has two more than another. left: the first half has nothing.
func even(on []int) bool { return slices.Max(on)-slices.Min(on) <= 1 }
func left(on []int) bool { return slices.Max(on[:len(on)/2]) == 0 }

// TestOwnSpreads is the main job: when all of a load is held, the processes on
// the first half of the CPUs end; the rest are spread evenly and stay so for
// many looks. Where others run beside the load they are evened out with it: so
// those looks are waited for. Under the control policy nothing moves, in any
// look, which shows that it is not the kernel who spreads.
func TestOwnSpreads(t *testing.T) {
	needCPUs(t, 2)
	// Enough that half of them can be even: 8 a CPU on 2 of them, or 2.
	n, looks := max(16, 2*runtime.NumCPU()), 10
	if inGuest {
		looks = 5
	}
	for _, policy := range []string{"mlp", "never"} {
		t.Run(policy, func(t *testing.T) {
			gate := filepath.Join(t.TempDir(), "held")
			d := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "busy", "--policy", policy, "--", "crowd", strconv.Itoa(n), cpus(), gate, "3600")
			d.expect("started")
			d.waitAllHeld(n)
			if err := os.WriteFile(gate, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			d.expect("thinned")
			load := slices.Collect(maps.Keys(busy(d.Process.Pid)))
			if len(load) < 2 || len(load) == n {
				t.Fatalf("%d of %d processes are left: nothing is shown", len(load), n)
			}
			var seen [][]int
			inRow := 0
			good := map[string]func(on []int) bool{"mlp": even, "never": left}[policy]
			look := func() {
				on, whole := heldOn(load)
				if seen = append(seen, on); good(on) && whole == 0 {
					inRow++
				} else {
					inRow = 0
				}
			}
			if policy == "never" {
				for range looks {
					look()
					time.Sleep(5 * glance())
				}
				if inRow != looks {
					t.Errorf("%d processes are not left on the second half of the CPUs: %v", len(load), seen)
				}
			} else {
				eventually(t, fmt.Sprintf("%d processes are spread evenly for %d looks in a row", len(load), looks), func() (bool, any) {
					look()
					time.Sleep(4 * glance())
					return inRow >= looks, seen[max(0, len(seen)-50):]
				})
			}
			d.terminate()
			t.Logf("%d processes: %v\n%s", len(load), seen, d.stderr.String())
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

func TestObserveChangesNothing(t *testing.T) {
	needCPUs(t, 2)
	d := startDaemon(t, t.TempDir(), "--mode", "observe", "--interval", "20ms", "--", "crowd", "8", cpus(), "1", "3600")
	d.expect("started")
	whole, looks := ownMaskText(), 0
	for end := time.Now().Add(time.Second); looks < 50 || time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for tid, mask := range masks(slices.Collect(maps.Keys(busy(d.Process.Pid)))) {
			if looks++; mask != whole {
				t.Errorf("observe: thread %d may run on %s only", tid, mask)
			}
		}
	}
	d.terminate()
	if _, err := os.Stat(filepath.Join(d.state, "journal")); err == nil {
		t.Error("observe wrote a journal")
	}
}

// TestAssistNarrowsWhatItMoves compares the masks that an independent reader
// sees with the moves in the events file. No lease ends before the load does:
// what was moved is held where its last move was to, and nothing else is held.
func TestAssistNarrowsWhatItMoves(t *testing.T) {
	needCPUs(t, 2)
	events := filepath.Join(t.TempDir(), "events")
	d := startDaemon(t, t.TempDir(), "--mode", "assist", "--policy", "always", "--lease", "1h", "--interval", "20ms",
		"--events", events, "--", "crowd", "9", cpus(), "1.5", "3600")
	d.expect("thinned")
	whole := ownMaskText()
	eventually(t, "the threads that are narrowed are those that were moved", func() (bool, any) {
		want, moves := lastMoves(t, events), 0
		for tid, mask := range masks(slices.Collect(maps.Keys(busy(d.Process.Pid)))) { // who starts them is let go
			if to, ok := want[tid]; ok {
				moves++
				if mask != to {
					return false, fmt.Sprintf("thread %d was moved to %s and may run on %s", tid, to, mask)
				}
			} else if mask != whole {
				return false, fmt.Sprintf("thread %d was never moved and may run on %s", tid, mask)
			}
		}
		return moves > 0, fmt.Sprintf("no thread of %v is alive", want)
	})
	d.terminate()
}

// lastMoves reads where each thread was moved to last, as a mask. The last line of
// the events may be half written.
func lastMoves(t *testing.T, events string) map[int]string {
	t.Helper()
	b, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	to := make(map[int]string)
	for line := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		var e struct {
			Task    struct{ TID int }
			To      int
			Applied bool
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.Applied {
			to[e.Task.TID] = strconv.Itoa(e.To)
		}
	}
	return to
}
