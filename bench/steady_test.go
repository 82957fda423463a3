// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/topology"
	"mllb/topology/probe"
)

// fakeCPUs do what a script says, look by look; the first firstLooks are those
// before the first run. A CPU has 1000 units of work per second and its number.
type fakeCPUs struct {
	n       int
	share   func(cpu, look int) float64
	busy    func(cpu, try int) bool // another thread ran there
	fail    map[int]error
	looks   map[int]int // by CPU
	tries   map[int]int
	working int // CPUs at this moment
}

func newFakeCPUs(n int, share func(cpu, look int) float64) *fakeCPUs {
	return &fakeCPUs{n: n, share: share, looks: make(map[int]int), tries: make(map[int]int)}
}

func (f *fakeCPUs) CPUs() (topology.CPUSet, error) {
	var set topology.CPUSet
	for cpu := range f.n {
		set.Add(cpu)
	}
	return set, nil
}

func (f *fakeCPUs) Work(ctx context.Context, cpus []int, d time.Duration) ([]probe.Rate, error) {
	cpu := cpus[0]
	if f.working += len(cpus); f.working != 1 {
		return nil, errors.New("two CPUs at a time")
	}
	defer func() { f.working -= len(cpus) }()
	if err := f.fail[cpu]; err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(d):
	}
	if d <= warmUp {
		return []probe.Rate{{PerSecond: 1}}, nil
	}
	f.tries[cpu]++
	if f.busy != nil && f.busy(cpu, f.tries[cpu]) {
		return []probe.Rate{{PerSecond: 1, Disturbed: true}}, nil
	}
	look := f.looks[cpu]
	f.looks[cpu]++
	return []probe.Rate{{PerSecond: f.share(cpu, look) * float64(1000+cpu)}}, nil
}

// watched makes the runs of a benchmark, each a minute, on fake CPUs.
func watched(ctx context.Context, dir string, cfg Config, f *fakeCPUs, out *bytes.Buffer, fails bool) ([]Record, error) {
	s, err := openStore(dir, testHead(cfg), false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	w, err := newWatch(ctx, f, cfg.Steady, time.Hour)
	if err != nil {
		return nil, err
	}
	err = drive(ctx, s, newBoard(out, s), w, func(ctx context.Context, s Slot) (Record, error) {
		time.Sleep(time.Minute)
		r := Record{Slot: s, Started: time.Now(), Usage: Usage{Wall: 60}}
		if fails {
			r.Failed = "broken"
		}
		return r, ctx.Err()
	})
	return s.Records, err
}

// slowIn is a CPU at half its speed in the looks from..to.
func slowIn(slow, from, to int) func(cpu, look int) float64 {
	return func(cpu, look int) float64 {
		if cpu == slow && look >= from && look <= to {
			return 0.5
		}
		return 1
	}
}

const (
	always = 1 << 30
	run1   = firstLooks // the look before the first run; the next is after it
)

// TestSteady: which runs are disturbed, and what the benchmark does about it. Looks
// are counted from the start.
func TestSteady(t *testing.T) {
	after, before := []Slow{{1, 0.5, "after"}}, []Slow{{1, 0.5, "before"}}
	both := slices.Concat(before, after)
	for _, tt := range []struct {
		name      string
		cpus      int
		share     func(cpu, look int) float64
		busy      func(cpu, try int) bool
		fails     bool
		disturbed [][]Slow // a run each
		kept      int
		waits     time.Duration
		says      string
	}{
		{name: "steady", cpus: 2, share: slowIn(1, -1, -1), disturbed: [][]Slow{nil, nil}},
		{name: "one CPU", cpus: 1, share: slowIn(0, run1+1, run1+looksAfter), disturbed: [][]Slow{{{0, 0.5, "after"}}, nil, nil}, says: "CPU 0 did 0.50 of its work after it"},
		{name: "a little slower", cpus: 2, share: func(_, look int) float64 { return 1 - 0.14*float64(look%2) }, disturbed: [][]Slow{nil, nil}},
		{name: "slow before, then steady", cpus: 2, share: slowIn(1, run1, run1+2), disturbed: [][]Slow{nil, nil}, waits: 3 * lookAgain,
			says: "round 1, work0, stock: waiting, at most 10 min: CPU 1 does 0.50 of its work\n"},
		{name: "slow after, for a moment", cpus: 2, share: slowIn(1, run1+1, run1+looksAfter-1), disturbed: [][]Slow{nil, nil}},
		{name: "slow after", cpus: 2, share: slowIn(1, run1+1, run1+looksAfter), disturbed: [][]Slow{after, nil, nil},
			says: "round 1, work0, stock: 60 s, disturbed (CPU 1 did 0.50 of its work after it), to be made again; 0 of 2 runs\nmllb bench: round 1, work0, stock: 60 s; 1 of 2 runs, about 2 min left\n"},
		{name: "slow after, for a while", cpus: 2, share: slowIn(1, run1+1, run1+11), disturbed: [][]Slow{after, nil, nil}, waits: (11 - looksAfter) * lookAgain},
		{name: "slow for ever", cpus: 2, share: slowIn(1, run1+1, always), waits: 11 * mostWait, kept: 2,
			disturbed: slices.Concat([][]Slow{after}, slices.Repeat([][]Slow{both}, 11)),
			says:      "disturbed (CPU 1 did 0.50 of its work before it, CPU 1 did 0.50 of its work after it), but it counts: made again 5 times; 1 of 2 runs"},
		{name: "others at work", cpus: 2, share: slowIn(1, -1, -1), busy: func(_, try int) bool { return try%3 == 0 }, disturbed: [][]Slow{nil, nil}},
		{name: "failed", cpus: 2, share: slowIn(1, run1+1, run1+1), fails: true, disturbed: [][]Slow{nil, nil}, waits: lookAgain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				cfg := newConfig(1, 1, 2, 0, 1)
				cfg.Steady = 15
				f := newFakeCPUs(tt.cpus, tt.share)
				f.busy = tt.busy
				out, start := &bytes.Buffer{}, time.Now()
				records, err := watched(t.Context(), dir, cfg, f, out, tt.fails)
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(start) - time.Duration(len(records))*time.Minute
				disturbed, kept := marks(records)
				if diff := cmp.Diff(tt.disturbed, disturbed, cmpopts.EquateApprox(0, 1e-9)); diff != "" || kept != tt.kept {
					t.Errorf("%d kept, want %d; disturbed (-want +got):\n%s", kept, tt.kept, diff)
				}
				// A look takes a tenth of a second here, and there are not that many.
				if took < tt.waits || took > tt.waits+tt.waits/10+10*time.Second {
					t.Errorf("it waited %v, want %v", took, tt.waits)
				}
				if !strings.Contains(out.String(), tt.says) || tt.waits == 0 && strings.Contains(out.String(), "waiting") {
					t.Errorf("it does not say %q:\n%s", tt.says, out)
				}
			})
		})
	}
}

// marks are which CPUs disturbed each run, and how many were kept though they did.
func marks(records []Record) (disturbed [][]Slow, kept int) {
	for _, r := range records {
		disturbed = append(disturbed, r.Disturbed)
		if r.Kept {
			kept++
		}
	}
	return disturbed, kept
}

// TestSteadyWarmup: warm-ups are watched, too.
func TestSteadyWarmup(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := newConfig(1, 1, 1, 1, 1)
		cfg.Steady = 15
		records, err := watched(t.Context(), dir, cfg, newFakeCPUs(2, slowIn(0, run1+1, run1+looksAfter)), &bytes.Buffer{}, false)
		if err != nil || len(records) != 3 || !records[0].Warmup() || len(records[0].Disturbed) != 1 || !records[1].Warmup() || records[2].Warmup() {
			t.Errorf("%v, %+v", err, records)
		}
	})
}

// TestSteadyCalledOff: ^C ends waiting and looking at once, and what was not judged
// is not recorded.
func TestSteadyCalledOff(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // the first looks take half a second here
	}{
		{"at the first looks", 200 * time.Millisecond},
		{"while it waits", 31 * time.Second},
		{"while it looks again", 32*time.Second + 660*time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				cfg := newConfig(1, 1, 2, 0, 1)
				cfg.Steady = 15
				ctx, cancel := context.WithTimeoutCause(t.Context(), tt.after, context.Canceled)
				defer cancel()
				start := time.Now()
				records, err := watched(ctx, dir, cfg, newFakeCPUs(2, slowIn(1, run1, always)), &bytes.Buffer{}, false)
				if !errors.Is(err, context.DeadlineExceeded) || len(records) > 0 || time.Since(start) > tt.after {
					t.Errorf("%v after %v, %d records", err, time.Since(start), len(records))
				}
			})
		})
	}
}

// TestSteadyResumes: disturbed records fill no slot, count as attempts, and say how
// fast the CPUs can be: the resumed benchmark sees none but slow ones.
func TestSteadyResumes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := newConfig(1, 1, 2, 0, 1)
		cfg.Steady = 15
		out := &bytes.Buffer{}
		// The first run is undisturbed, and two of the second slot are not.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+mostWait+time.Minute)
		defer cancel()
		first, err := watched(ctx, dir, cfg, newFakeCPUs(2, slowIn(1, run1+3, always)), out, false)
		if !errors.Is(err, context.DeadlineExceeded) || len(first) != 3 || first[0].Disturbed != nil || first[1].Kept || first[2].Kept {
			t.Fatalf("%v, %+v", err, first)
		}
		out.Reset()
		records, err := watched(t.Context(), dir, cfg, newFakeCPUs(2, slowIn(1, 0, always)), out, false)
		if err != nil || !strings.Contains(out.String(), "2 runs, 1 of them done") {
			t.Fatalf("%v\n%s", err, out)
		}
		for i, r := range records {
			if want := i > 0; (len(r.Disturbed) > 0) != want || r.Kept != (i == 1+mostAgain) {
				t.Errorf("run %d: disturbed %v, kept %v", i, r.Disturbed, r.Kept)
			}
		}
		if len(records) != 1+mostAgain+1 {
			t.Errorf("%d runs", len(records))
		}
		out.Reset()
		if again, err := watched(t.Context(), dir, cfg, newFakeCPUs(2, slowIn(1, 0, always)), out, false); err != nil || len(again) != len(records) {
			t.Errorf("%v, %d runs when all were there", err, len(again))
		}
	})
}

// TestReference: one lucky sample condemns nothing, and slow ones, however many, do
// not make slow normal.
func TestReference(t *testing.T) {
	for _, tt := range []struct {
		name    string
		samples []float64
		share   float64 // of a CPU that does 100
	}{
		{"nothing known", nil, 1},
		{"nothing done", []float64{0, 0, 0}, 1},
		{"as always", []float64{100, 100, 100, 100}, 1},
		{"one lucky", []float64{100, 900, 100, 100}, 1},
		{"two lucky", []float64{900, 100, 100, 900}, 1},
		{"faster", []float64{100, 100, 200, 200, 200}, 0.5},
		{"slow for long", append(slices.Repeat([]float64{50}, 1000), 100, 100, 100), 1},
		{"slow for long, after", append([]float64{200, 200, 200}, slices.Repeat([]float64{100}, 1000)...), 0.5},
	} {
		w := watch{fastest: make(map[int][]float64)}
		for _, s := range tt.samples {
			w.note(3, s)
			w.note(4, 7) // each CPU has its own
		}
		if got := w.share(3, 100); got != tt.share {
			t.Errorf("%s: share %v, want %v", tt.name, got, tt.share)
		}
		if n := len(w.fastest[3]); n > rank {
			t.Errorf("%s: %d samples kept", tt.name, n)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		cpus, most int
		want       []int
	}{
		{1, 4, []int{0}}, {4, 4, []int{0, 1, 2, 3}}, {5, 4, []int{0, 1, 2, 3}}, {8, 4, []int{0, 2, 4, 6}}, {100, 4, []int{0, 25, 50, 75}},
	} {
		var all []int
		for i := range tt.cpus {
			all = append(all, i)
		}
		if got := spread(all, tt.most); !slices.Equal(got, tt.want) {
			t.Errorf("%d of %d: %v, want %v", tt.most, tt.cpus, got, tt.want)
		}
	}
}

// TestLookIsShort: however many CPUs there are, and whatever else runs on them.
func TestLookIsShort(t *testing.T) {
	for _, cpus := range []int{1, 2, 16, 300} {
		for _, busy := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCPUs(cpus, slowIn(0, -1, -1))
				f.busy = func(int, int) bool { return busy }
				w, err := newWatch(t.Context(), f, 15, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				rates, err := w.look(t.Context())
				if took := time.Since(start); err != nil || len(rates) != min(cpus, mostCPUs) || took > mostLook || took < mostEach {
					t.Errorf("%d CPUs, busy %v: %v, %d rates after %v", cpus, busy, err, len(rates), took)
				}
				if w.patience != time.Minute {
					t.Errorf("it waits for %v", w.patience)
				}
			})
		}
	}
}

// TestSteadyImpossible: it is said before anything is run.
func TestSteadyImpossible(t *testing.T) {
	f := newFakeCPUs(4, nil)
	f.fail = map[int]error{3: errors.New("sched_setaffinity to CPU 3: operation not permitted")}
	_, err := newWatch(t.Context(), f, 15, time.Minute)
	if want := "--steady needs to measure the speed of CPU 3: sched_setaffinity to CPU 3: operation not permitted"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestSteadyHere looks at this machine. How fast its CPUs are depends on who else
// is here; that there are rates, in the range of machines, does not.
func TestSteadyHere(t *testing.T) {
	w, end, err := openWatch(t.Context(), 15, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for range 2 {
		rates, err := w.look(t.Context())
		if err != nil || len(rates) != len(w.cpus) || len(rates) == 0 {
			t.Fatalf("%v: %v of CPUs %v", err, rates, w.cpus)
		}
		for k, r := range rates {
			if !(r > 1e2 && r < 1e8) {
				t.Errorf("CPU %d does %v units per second", w.cpus[k], r)
			}
		}
		t.Log(fmt.Sprint(w.cpus, rates))
	}
}
