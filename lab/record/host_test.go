// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/lab"
	"mllb/learn/dataset"
)

// fakeGuests stands in for lab.Run: it leaves what record-run leaves.
type fakeGuests struct {
	mu       sync.Mutex
	started  []string
	running  int
	most     int               // that ran at a time
	fail     string            // the run that fails
	counters dataset.Counters  // of each file
	then     func(started int) // called when a guest has started
}

func (f *fakeGuests) run(ctx context.Context, cfg lab.Config) (lab.Result, error) {
	r, err := Decode(cfg.Args[len(cfg.Args)-1])
	if err != nil {
		return lab.Result{}, err
	}
	f.mu.Lock()
	f.started = append(f.started, r.Name())
	n := len(f.started)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.then != nil {
		f.then(n)
	}
	if err := ctx.Err(); err != nil {
		return lab.Result{}, err
	}
	fmt.Fprint(cfg.Stdout, `{"usable":1,"stay":0`, "}\n")
	if r.Name() == f.fail {
		fmt.Fprintln(cfg.Stderr, "mllbd: no")
		return lab.Result{}, &lab.ExitError{Status: 1}
	}
	w, err := dataset.Create(filepath.Join(cfg.OutDir, recordFile), dataset.Meta{CreatedBy: "test", Runs: []dataset.Run{{Host: "h", Kernel: "k", Topology: "1x1x1"}}})
	if err != nil {
		return lab.Result{}, err
	}
	recs := make([]features.Record, 3)
	for i := range recs {
		recs[i] = features.Record{Migrate: i > 0, Time: int64(i), Eligible: true, Decision: features.Decision{PreferredNode: features.NoNode}}
	}
	w.SetCounters(f.counters)
	return lab.Result{}, errors.Join(w.Write(recs), w.Close())
}

// told is a Report that keeps what it is told.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (s *told) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *told) Skipped(r Run)                { s.add("skipped %d", r.Load) }
func (s *told) Started(r Run)                { s.add("started %d", r.Load) }
func (s *told) Progress(r Run, p Progress)   { s.add("progress %d: %d", r.Load, p.Usable) }
func (s *told) Notice(r Run, what string)    { s.add("notice %d: %s", r.Load, what) }
func (s *told) Output(r Run, what string)    { s.add("output %d: %s", r.Load, what) }
func (s *told) Remaining(n int, took []Took) { s.add("%d left of %d", n, n+len(took)) }
func (s *told) Ended(r Run, o Outcome, err error) {
	if err != nil {
		s.add("failed %d: %v", r.Load, err)
		return
	}
	s.add("ended %d: %d rows, %v", r.Load, o.Rows, o.Labels)
}

func plan(t *testing.T) []Run {
	t.Helper()
	runs, err := profiles[0].Plan(Choice{Shapes: []string{"1x2x1"}, Records: 9, Duration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func newRecorder(t *testing.T) (*Recorder, *fakeGuests, *told) {
	guests, says := &fakeGuests{counters: dataset.Counters{Calls: 5, Records: 3, Filtered: 2}}, &told{}
	return &Recorder{Dir: filepath.Join(t.TempDir(), "out"), Report: says, run: guests.run}, guests, says
}

// TestRecorderResumes has one run of three fail, then does the plan again.
func TestRecorderResumes(t *testing.T) {
	rec, guests, says := newRecorder(t)
	guests.fail = "1x2x1-stress-ng-100-s1"
	err := rec.All(t.Context(), plan(t))
	var failed *RunError
	if !errors.As(err, &failed) || failed.Run != guests.fail {
		t.Fatalf("%v, want the error of run %s", err, guests.fail)
	}
	want := []string{
		"started 50", "progress 50: 1", "ended 50: 3 rows, [1 2]", "2 left of 3",
		"started 100", "progress 100: 1", "output 100: mllbd: no", "failed 100: exit status 1", "1 left of 3",
		"started 200", "progress 200: 1", "ended 200: 3 rows, [1 2]", "0 left of 3",
	}
	if d := cmp.Diff(want, says.lines); d != "" {
		t.Error(d)
	}
	guests.fail, says.lines = "", nil
	if err := rec.All(t.Context(), plan(t)); err != nil {
		t.Fatal(err)
	}
	want = []string{"skipped 50", "skipped 200", "started 100", "progress 100: 1", "ended 100: 3 rows, [1 2]", "0 left of 1"}
	if d := cmp.Diff(want, says.lines); d != "" {
		t.Error(d)
	}
	checkFiles(t, rec.Dir, 3)
}

// checkFiles fails for anything but so many finished files.
func checkFiles(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".parquet") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	if len(entries) != want {
		t.Errorf("%d files, want %d", len(entries), want)
	}
}

// TestRecorderFormer has a run that was recorded under its former name count.
func TestRecorderFormer(t *testing.T) {
	rec, guests, says := newRecorder(t)
	run := plan(t)[0]
	run.Workload = "memory"
	if err := rec.All(t.Context(), []Run{run}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(rec.Dir, "1x2x1-memory-50-s1.parquet")
	former := filepath.Join(rec.Dir, "1x2x1-numa-50-s1.parquet")
	if got := rec.Path(run); got != name {
		t.Errorf("recorded as %s", got)
	}
	if err := os.Rename(name, former); err != nil {
		t.Fatal(err)
	}
	guests.started, says.lines = nil, nil
	if err := rec.All(t.Context(), []Run{run}); err != nil {
		t.Fatal(err)
	}
	if got := rec.Path(run); got != former || len(guests.started) > 0 || !slices.Equal(says.lines, []string{"skipped 50"}) {
		t.Errorf("%s; %d guests started, %q", got, len(guests.started), says.lines)
	}
	checkFiles(t, rec.Dir, 1)
}

// TestRecorderStops cancels while the second run is under way.
func TestRecorderStops(t *testing.T) {
	rec, guests, _ := newRecorder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	guests.then = func(started int) {
		if started == 2 {
			cancel()
		}
	}
	if err := rec.All(ctx, plan(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	checkFiles(t, rec.Dir, 1)
}

func TestRecorderRefuses(t *testing.T) {
	t.Run("calls that do not add up", func(t *testing.T) {
		rec, guests, _ := newRecorder(t)
		guests.counters.Calls++
		if err := rec.All(t.Context(), plan(t)); err == nil || !strings.Contains(err.Error(), "6 calls are not 3 records + 2 filtered + 0 drops") {
			t.Errorf("%v", err)
		}
		checkFiles(t, rec.Dir, 0)
	})
	t.Run("a file that is none", func(t *testing.T) {
		rec, guests, _ := newRecorder(t)
		if err := os.MkdirAll(rec.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rec.Path(plan(t)[2]), []byte("PAR1"), 0o644); err != nil {
			t.Fatal(err)
		}
		err := rec.All(t.Context(), plan(t))
		if err == nil || !strings.Contains(err.Error(), "remove it to record it again") || len(guests.started) > 0 {
			t.Errorf("%v, %d guests started", err, len(guests.started))
		}
	})
}

// TestRecorderJobs checks that two runs are under way at a time, not three.
func TestRecorderJobs(t *testing.T) {
	rec, guests, says := newRecorder(t)
	rec.Jobs = 2
	both := make(chan struct{})
	guests.then = func(started int) {
		if started == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-time.After(10 * time.Second):
			t.Error("the second guest was not started beside the first")
		}
	}
	if err := rec.All(t.Context(), plan(t)); err != nil {
		t.Error(err)
	}
	if !slices.Contains(says.lines, "0 left of 3") {
		t.Errorf("%q", says.lines)
	}
	if guests.most != 2 {
		t.Errorf("%d guests at a time, want 2", guests.most)
	}
	checkFiles(t, rec.Dir, 3)
}
