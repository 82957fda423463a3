// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/bench"
	"mllb/bench/measure"
	"mllb/bench/workload"
)

// The tests of package bench have an mllbd that is none. Here are both as they are.

// launcher is `mllb bench-run`.
func launcher(args []string) error {
	f := flag.NewFlagSet("bench-run", flag.ContinueOnError)
	socket, tree, grace := f.String("socket", "", ""), f.Bool("tree", false, ""), f.Duration("grace", time.Second, "")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return bench.Launch(ctx, *socket, f.Args(), *tree, *grace)
}

// benchmark DIR ARMS RUNS CMD...: a benchmark of one workload, until SIGINT.
func benchmark(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT)
	defer stop()
	runs, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	_, err = runBenchmark(ctx, args[0], args[1], runs, os.Stderr, args[3:]...)
	return err
}

func runBenchmark(ctx context.Context, dir, arms string, runs int, out io.Writer, argv ...string) (*bench.Report, error) {
	parsed, err := bench.ParseArms(strings.Split(arms, ","))
	if err != nil {
		return nil, err
	}
	cfg := bench.Config{Arms: parsed, Runs: runs, Seed: 1, Interval: 0.05, Workloads: []bench.Workload{{Name: "work", Argv: argv}}}
	o := bench.Options{Dir: filepath.Join(dir, "results"), StateDir: filepath.Join(dir, "state"), Limit: 5 * time.Minute, Out: out,
		Commands: []*workload.Command{{Name: "work", Argv: argv}}}
	if o.Self, err = exec.LookPath("mllb"); err != nil {
		return nil, err
	}
	if o.Mllbd, err = exec.LookPath("mllbd"); err != nil {
		return nil, err
	}
	return bench.Run(ctx, cfg, o)
}

// own:never keeps threads where they are, once they are older than DefaultNewborn. When
// those of half the CPUs end after that, the rest are crowded, which stock does not leave so. That is told apart by what is counted,
// not by times: on a quiet machine by the imbalance; beside other groups of tasks,
// whose weight stock balances too (h_load, kernel/sched/fair.c), by the migrations.
func TestBenchSeesBad(t *testing.T) {
	if inGuest || testing.Short() {
		t.Skip("takes a minute")
	}
	needCPUs(t, 2)
	s, err := measure.Open(nil)
	if err != nil {
		t.Skip(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	needQuiet(t)
	var out bytes.Buffer
	cpus := runtime.NumCPU()
	r, err := runBenchmark(t.Context(), t.TempDir(), "stock,own:never:max-cpu=0", 4, &out, "crowd", strconv.Itoa(6*cpus), strconv.Itoa(cpus), "2.5", "2")
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	never := r.Workloads[0].Arms[1]
	imbalance, moves := never.Values["imbalance"].Against, never.Values["migrations"].Against
	if imbalance == nil || moves == nil || imbalance.Verdict != bench.More && moves.Verdict != bench.Less {
		t.Errorf("own:never is not told apart by the imbalance, %+v, nor by migrations, %+v\n%s", imbalance, moves, out.String())
	}
	if d := never.Effects; d.NoOp || d.Changed != 4 || !(d.Asked > 0) || d.Approved != 0 || !(d.Held > 0) {
		t.Errorf("it did %+v", d)
	}
	if r.Failed != 0 || r.Runs != 8 {
		t.Errorf("%d runs count, %d failed", r.Runs, r.Failed)
	}
	var text bytes.Buffer
	if err := r.Draw(&text); err != nil {
		t.Error(err)
	}
	t.Log(text.String())
}

// needQuiet skips a test, before it measures anything, on a machine where others are
// busy.
func needQuiet(t *testing.T) {
	t.Helper()
	busy, idle := cpuTicks(t, runtime.NumCPU())
	time.Sleep(time.Second)
	busyNow, idleNow := cpuTicks(t, runtime.NumCPU())
	all := max(1, busyNow-busy+idleNow-idle)
	if share := 100 * (busyNow - busy) / all; share > 10 {
		t.Skipf("others are busy on this machine: %d %% of the CPU time is theirs", share)
	}
}

// cpuTicks is how long the first n CPUs were busy and had nothing to run, in clock
// ticks (proc_stat(5)).
func cpuTicks(t *testing.T, n int) (busy, idle int) {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var cpu, user, nice, system, none, iowait int
		if k, _ := fmt.Sscanf(line, "cpu%d %d %d %d %d %d", &cpu, &user, &nice, &system, &none, &iowait); k == 6 && cpu < n {
			busy, idle = busy+user+nice+system, idle+none+iowait
		}
	}
	return busy, idle
}

// Whatever ends a benchmark in the middle of a run under mllbd, nothing of it is left:
// at once after ^C; after a SIGKILL no process, and the rest with the next one.
func TestBenchEnds(t *testing.T) {
	if inGuest {
		t.Skip("the same on any kernel")
	}
	needCPUs(t, 2)
	for _, tt := range []struct {
		name string
		sig  unix.Signal
	}{{"interrupted", unix.SIGINT}, {"killed", unix.SIGKILL}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			b, pids := startBenchmark(t, dir)
			if err := b.Process.Signal(tt.sig); err != nil {
				t.Fatal(err)
			}
			_ = b.Wait()
			eventually(t, "all processes end", func() (bool, any) { return len(alive(pids)) == 0, alive(pids) })
			benchmarks := []int{b.Process.Pid}
			if tt.sig == unix.SIGKILL {
				again, pids := startBenchmark(t, dir)
				if err := again.Process.Signal(unix.SIGINT); err != nil {
					t.Fatal(err)
				}
				_ = again.Wait()
				benchmarks = append(benchmarks, again.Process.Pid)
				eventually(t, "all processes end", func() (bool, any) { return len(alive(pids)) == 0, alive(pids) })
			}
			nothingLeft(t, dir, benchmarks...)
		})
	}
}

// A mllbd that is killed in a run fails the run; the benchmark heals and goes on.
func TestBenchHeals(t *testing.T) {
	if inGuest {
		t.Skip("the same on any kernel")
	}
	needCPUs(t, 2)
	dir := t.TempDir()
	b, pids := startBenchmark(t, dir)
	for _, pid := range pids {
		if st, err := readStat(pid); err == nil && st.comm == "mllbd" {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the failed run is recorded", func() (bool, any) {
		text, err := os.ReadFile(filepath.Join(dir, "results", "runs.jsonl"))
		return strings.Contains(string(text), "mllbd ended: signal: killed"), fmt.Sprint(string(text), err)
	})
	if err := b.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = b.Wait()
	if left := alive(pids); len(left) > 0 {
		t.Errorf("%v still run", left)
	}
	nothingLeft(t, dir, b.Process.Pid)
}

// startBenchmark starts one that is endless, and returns it with all the processes
// below it once mllbd holds some.
func startBenchmark(t *testing.T, dir string) (*exec.Cmd, []int) {
	t.Helper()
	defaultSignals()
	// The stock arm is over at once: what is busy for long is so under mllbd only.
	script := `case "$(cat /proc/$(cut -d" " -f4 /proc/$PPID/stat)/comm)" in mllbd) ;; *) exit 0;; esac; exec crowd ` +
		fmt.Sprintf("%d %d 600 1", 2*runtime.NumCPU(), runtime.NumCPU())
	b := exec.Command("benchmark", dir, "stock,own=own:hold=busy", "1000", "sh", "-c", script)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.Stderr, b.Env = log, append(os.Environ(), "TMPDIR="+dir)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Process.Kill() })
	whole := ownMaskText()
	var pids []int
	eventually(t, "mllbd holds threads of the workload", func() (bool, any) {
		pids = descendants(b.Process.Pid)
		held := 0
		for _, mask := range masks(pids) {
			if mask != whole {
				held++
			}
		}
		text, _ := os.ReadFile(log.Name())
		return held >= 2, string(text)
	})
	return b, pids[:len(pids):len(pids)]
}

func alive(pids []int) (left []int) {
	for _, pid := range pids {
		if st, err := readStat(pid); err == nil && st.state != 'Z' {
			left = append(left, pid)
		}
	}
	return left
}

// nothingLeft of these benchmarks: no cgroup, nothing under way, nothing for
// `mllbd restore` to do.
func nothingLeft(t *testing.T, dir string, pids ...int) {
	t.Helper()
	for _, glob := range []string{dir + "/mllb-bench-*", filepath.Join(dir, "results", "running.json")} {
		if left, err := filepath.Glob(glob); err != nil || len(left) > 0 {
			t.Errorf("%v are left, %v", left, err)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, _ fs.DirEntry, _ error) error { // those of others come and go
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(path), "mllb-bench-%d-", &pid); err == nil && slices.Contains(pids, pid) {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	text, err := exec.Command("mllbd", "restore", "--state-dir", filepath.Join(dir, "state")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(text), "0 masks restored") || strings.Contains(string(text), "of ended threads") {
		t.Errorf("mllbd restore: %v: %s", err, text)
	}
}
