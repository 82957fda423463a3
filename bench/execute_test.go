// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mllb/bench/measure"
	"mllb/bench/workload"
	"mllb/topology"
)

// fakeSampler sees that a run is sampled from before it begins until it has ended.
type fakeSampler struct {
	t    *testing.T
	root atomic.Int32
}

func (f *fakeSampler) Start(o measure.Options) error {
	f.root.Store(int32(o.Root))
	if len(descendants(o.Root)) > 0 {
		f.t.Error("the command runs before it is sampled")
	}
	return nil
}

func (f *fakeSampler) Stop() (*measure.Sample, error) {
	if _, alive := parentOf(int(f.root.Load())); !alive {
		f.t.Error("the launcher ended before the sampling did")
	}
	return &measure.Sample{HasQueues: true, MaxImbalance: []uint32{2, 4}, Lengths: []uint64{1, 1}}, nil
}

// rig is an executor whose mllbd is a fake.
func rig(t *testing.T, argv ...string) *executor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, scratch := t.TempDir(), t.TempDir()
	fake := filepath.Join(dir, "mllbd")
	if err := os.Symlink(self, fake); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAKE_RESTORES", filepath.Join(dir, "restores"))
	topo, err := topology.Parse("1x2x1")
	if err != nil {
		t.Fatal(err)
	}
	arms, err := ParseArms([]string{"stock", "own"})
	if err != nil {
		t.Fatal(err)
	}
	x := &executor{Options: Options{Self: self, Mllbd: fake, StateDir: dir, Limit: time.Minute}, dir: dir, scratch: scratch, topology: topo,
		config: &Config{Arms: arms}, sampler: &fakeSampler{t: t}, commands: map[string]*workload.Command{"work": {Name: "work", Argv: argv}}}
	t.Cleanup(func() {
		if left, err := filepath.Glob(fmt.Sprintf("%s/mllb-bench-%d-*", ownCgroup(), os.Getpid())); len(left) > 0 || err != nil {
			t.Errorf("cgroups %v are left: %v", left, err)
		}
	})
	return x
}

func (x *executor) restores() int {
	b, err := os.ReadFile(os.Getenv("FAKE_RESTORES"))
	if err != nil {
		return 0
	}
	return strings.Count(string(b), "\n")
}

func slot(arm string) Slot { return Slot{Round: 1, Workload: "work", Arm: arm} }

func TestExecute(t *testing.T) {
	x := rig(t, "sh", "-c", `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; [ "$SEEN" = yes ]`)
	cleaned := 0
	x.commands["work"].Env = []string{"SEEN=yes"}
	x.commands["work"].Clean = func() error { cleaned++; return nil }
	x.commands["work"].Check = func(out []byte) error {
		if string(out) != "done\n" {
			return errors.New("it said " + string(out))
		}
		return nil
	}
	x.commands["work"].Score = func(out []byte) (float64, error) { return float64(len(out)), nil }
	for n, arm := range []string{"stock", "own"} {
		rec, err := x.run(t.Context(), slot(arm))
		if err != nil || rec.Failed != "" {
			t.Fatalf("%s: %v, %s", arm, err, rec.Failed)
		}
		if rec.Wall <= 0 || rec.User <= 0 || rec.MaxRSS < 100<<10 || rec.Orphan != 0 || rec.Slot != slot(arm) || cleaned != n+1 {
			t.Errorf("%s: %+v, cleaned %d times", arm, rec.Usage, cleaned)
		}
		if v, _ := judged(&rec); rec.Score == nil || v != 5 {
			t.Errorf("%s: figure %v", arm, v)
		}
		if v, ok := meanImbalance(rec.Sample); !ok || v != 3 {
			t.Errorf("%s: imbalance %v", arm, v)
		}
		if (rec.Daemon != nil) != (arm == "own") || rec.Daemon != nil && rec.Daemon.Moved["machine"] != 4 {
			t.Errorf("%s: %+v", arm, rec.Daemon)
		}
	}
	if x.restores() != 0 {
		t.Error("a run that ended well was healed")
	}
	if _, err := os.Stat(filepath.Join(x.dir, runningFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("running.json is left: %v", err)
	}
}

func TestExecuteFailures(t *testing.T) {
	for _, tt := range []struct {
		name, arm, report string
		argv              []string
		limit             time.Duration
		want              string
		restores          int
	}{
		{name: "status", arm: "stock", argv: []string{"sh", "-c", "echo oh no >&2; exit 3"}, want: "exit status 3: oh no"},
		{name: "status under mllbd", arm: "own", argv: []string{"sh", "-c", "exit 3"}, want: "exit status 3", restores: 1},
		{name: "signal", arm: "stock", argv: []string{"sh", "-c", "kill -9 $$"}, want: "exit status 137"},
		{name: "not there", arm: "stock", argv: []string{"/no/such/program"}, want: "no such file"},
		{name: "too long", arm: "stock", argv: []string{"sleep", "1000"}, limit: 500 * time.Millisecond, want: "it took longer than 500ms"},
		{name: "wrong", arm: "stock", argv: []string{"echo", "nonsense"}, want: "the work was not done: nonsense"},
		{name: "mllbd is killed", arm: "own", report: "crash", argv: []string{"sleep", "1000"}, want: "mllbd ended: signal: killed", restores: 1},
		{name: "no report", arm: "own", report: "none", argv: []string{"true"}, want: "mllbd left no report", restores: 1},
		{name: "masks left", arm: "own", report: "left", argv: []string{"true"}, want: "mllbd could not restore 2 masks", restores: 1},
		{name: "gave up", arm: "own", report: "gave up", argv: []string{"true"}, want: "mllbd gave up: blind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := rig(t, tt.argv...)
			t.Setenv("FAKE_REPORT", tt.report)
			if tt.limit > 0 {
				x.Limit = tt.limit
			}
			if tt.name == "wrong" {
				x.commands["work"].Check = func(out []byte) error { return errors.New(strings.TrimSpace(string(out))) }
			}
			rec, err := x.run(t.Context(), slot(tt.arm))
			if err != nil || !strings.Contains(rec.Failed, tt.want) || strings.HasSuffix(rec.Failed, ": ") {
				t.Errorf("%v, failed %q, want %q", err, rec.Failed, tt.want)
			}
			if n := x.restores(); n != tt.restores {
				t.Errorf("healed %d times, want %d", n, tt.restores)
			}
			if files, err := filepath.Glob(filepath.Join(x.dir, failedDir, "round-1--work--"+tt.arm+".txt")); err != nil || len(files) != 1 {
				t.Errorf("what it said is not kept: %v, %v", files, err)
			}
		})
	}
}

// stubborn leaves a process that is told nothing and listens to nothing: the worst of
// workloads. It writes the pids of all of its processes.
const stubborn = `trap "" INT TERM HUP; setsid sh -c 'trap "" INT TERM HUP; echo $$ >>PIDS; while :; do sleep 1; done' & echo $$ >>PIDS; (setsid sleep 1000 & echo $! >>PIDS); while :; do sleep 1; done`

// pidsIn waits until n processes have said that they are there.
func pidsIn(t *testing.T, path string, n int) (pids []int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		pids = nil
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
		if len(pids) >= n {
			return pids
		}
	}
	t.Fatalf("only %v are there", pids)
	return nil
}

func ended(t *testing.T, pids []int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, pid := range pids {
			if _, alive := parentOf(pid); alive {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %v still run", left, pids)
		}
	}
}

// Called off in the middle of any arm: nothing runs, nothing is left, mllbd's holds
// are undone, and there is no record.
func TestExecuteCalledOff(t *testing.T) {
	for _, arm := range []string{"stock", "own"} {
		t.Run(arm, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			x := rig(t, "sh", "-c", strings.ReplaceAll(stubborn, "PIDS", pids))
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				_, err := x.run(ctx, slot(arm))
				result <- err
			}()
			all := pidsIn(t, pids, 3)
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			ended(t, all)
			if want := map[string]int{"own": 1}[arm]; x.restores() != want {
				t.Errorf("healed %d times, want %d", x.restores(), want)
			}
		})
	}
}

// A command that leaves its children behind: they are killed, and told of.
func TestExecuteOrphans(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	x := rig(t, "sh", "-c", "setsid sleep 1000 & echo $! >"+pids)
	rec, err := x.run(t.Context(), slot("stock"))
	if err != nil || rec.Failed != "" || rec.Orphan != 1 {
		t.Errorf("%v, %q, %d orphans", err, rec.Failed, rec.Orphan)
	}
	ended(t, pidsIn(t, pids, 1))
}

// The launcher is killed, too: what it had started is still in the process group.
func TestExecuteLauncherKilled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	x := rig(t, "sh", "-c", strings.ReplaceAll(stubborn, "PIDS", pids))
	type result struct {
		rec Record
		err error
	}
	got := make(chan result, 1)
	sampler := x.sampler.(*fakeSampler)
	sampler.t = &testing.T{} // what it says of a launcher that is killed is no matter
	go func() {
		rec, err := x.run(t.Context(), slot("stock"))
		got <- result{rec, err}
	}()
	all := pidsIn(t, pids, 3)
	if err := syscall.Kill(int(sampler.root.Load()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.err != nil || !strings.Contains(r.rec.Failed, "launcher") && !strings.Contains(r.rec.Failed, "killed") {
		t.Errorf("%v, %q", r.err, r.rec.Failed)
	}
	ended(t, all)
}
