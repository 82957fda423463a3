// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// clock is a machine on which each run takes a minute and the result depends on the
// slot alone.
type clock struct {
	now    time.Time
	made   []Slot
	stop   int // after so many runs it is called off in the middle of the next; -1: never
	failed func(Slot) bool
	watch  *watch
}

func (c *clock) run(ctx context.Context, s Slot) (Record, error) {
	if c.stop == len(c.made) {
		return Record{}, context.Canceled
	}
	c.made = append(c.made, s)
	r := Record{Slot: s, Started: c.now, Usage: Usage{Wall: float64(len(s.Arm) + s.Round)}}
	c.now = c.now.Add(time.Minute)
	if c.failed != nil && c.failed(s) {
		r.Failed = "broken"
	}
	return r, nil
}

func (c *clock) drive(dir string, cfg Config, out *bytes.Buffer) ([]Record, error) {
	s, err := openStore(dir, testHead(cfg), false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	p := newBoard(out, s)
	p.now = func() time.Time { return c.now }
	err = drive(context.Background(), s, p, c.watch, c.run)
	return s.Records, err
}

// Stopped any number of times anywhere, the runs are those of one that was not, in
// the same order.
func TestDriveGoesOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(rt, name) }
		cfg := newConfig(n("arms", 2, 3), n("workloads", 1, 2), n("runs", 1, 3), n("warmup", 0, 1), rapid.Uint64().Draw(rt, "seed"))
		dir := t.TempDir()
		var made []Slot
		for stops := n("stops", 0, 3); ; stops-- {
			c := &clock{stop: -1}
			if stops > 0 {
				c.stop = n("stop", 0, len(cfg.Slots()))
			}
			_, err := c.drive(dir, cfg, &bytes.Buffer{})
			made = append(made, c.made...)
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				rt.Fatal(err)
			}
		}
		if diff := cmp.Diff(cfg.Slots(), made); diff != "" {
			rt.Errorf("runs (-want +got):\n%s", diff)
		}
	})
}

func TestDriveMoreRuns(t *testing.T) {
	dir, out := t.TempDir(), &bytes.Buffer{}
	cfg := newConfig(3, 2, 4, 1, 9)
	c := &clock{stop: -1}
	if _, err := c.drive(dir, cfg, out); err != nil {
		t.Fatal(err)
	}
	cfg.Runs = 7
	records, err := c.drive(dir, cfg, out)
	if err != nil || !slices.Equal(c.made, cfg.Slots()) || len(records) != len(c.made) {
		t.Errorf("%v; %d runs, %d records", err, len(c.made), len(records))
	}
}

// A pair that has only failed is given up after three runs; one that works now and
// then is not. A benchmark that goes on decides the same.
func TestDriveFailures(t *testing.T) {
	dir, out := t.TempDir(), &bytes.Buffer{}
	cfg := newConfig(3, 2, 8, 0, 2)
	c := &clock{stop: 20, failed: func(s Slot) bool {
		return s.Arm == "arm1" && s.Workload == "work0" || s.Arm == "arm2" && s.Round%2 == 0
	}}
	if _, err := c.drive(dir, cfg, out); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.stop = -1
	records, err := c.drive(dir, cfg, out)
	if err != nil {
		t.Fatal(err)
	}
	runs := make(map[Slot]int)
	for _, r := range records {
		runs[r.pair()]++
	}
	for pair, n := range runs {
		if want := map[bool]int{true: fruitless, false: 8}[pair.Arm == "arm1" && pair.Workload == "work0"]; n != want {
			t.Errorf("%s: %d runs, want %d", pair, n, want)
		}
	}
	if n := strings.Count(out.String(), "gave up work0 under arm1: all of its 3 runs failed"); n < 1 || n > 2 {
		t.Errorf("%d times given up:\n%s", n, out)
	}
	r := newReport(testHead(cfg), records)
	if r.Failed != 3+2*4 || r.Runs != 6*8-8-2*4 {
		t.Errorf("%d failed, %d count", r.Failed, r.Runs)
	}
	a := r.workload("work0").arm("arm1")
	if a.Failed != 3 || len(a.Reasons) != 1 || a.verdict("time") != "no runs to compare" {
		t.Errorf("%+v: %s", a, a.verdict("time"))
	}
}

// The time left is that of the runs that are left.
func TestProgress(t *testing.T) {
	out := &bytes.Buffer{}
	cfg := newConfig(2, 1, 3, 1, 2)
	c := &clock{stop: -1}
	if _, err := c.drive(t.TempDir(), cfg, out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 workload, 2 arms, 3 runs of each and 1 for warm-up: 8 runs, 0 of them done",
		"1 of 8 runs, about 7 min left", "7 of 8 runs, about 60 s left", "8 of 8 runs, about 0 s left"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// The table has a line for each arm of each workload, and what it is of.
func TestProgressTable(t *testing.T) {
	c := &clock{stop: -1}
	s := open(t, t.TempDir(), newConfig(2, 2, 1, 0, 2))
	p := newBoard(io.Discard, s)
	p.now = func() time.Time { return c.now }
	if err := drive(context.Background(), s, p, nil, c.run); err != nil {
		t.Fatal(err)
	}
	lines := p.table()
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "workload") || !strings.HasPrefix(lines[3], "work1") || !strings.Contains(lines[1], "1.000") {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	if state := p.state(); state.Share != 1 || state.Left != 0 {
		t.Errorf("at the end: %+v", state)
	}
}

// A run that waits for a CPU says so instead of that it is running.
func TestProgressWaits(t *testing.T) {
	p := newBoard(io.Discard, open(t, t.TempDir(), newConfig(2, 1, 1, 0, 2)))
	slow := Slow{CPU: 3, Share: 0.5}
	p.next(slot("stock"))
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { p.wait([]Slow{slow}, time.Minute) }, "0 of 2 runs; waiting: CPU 3 does 0.50 of its work; then round 1, work, stock"},
		{func() { p.wait(slices.Repeat([]Slow{slow}, 5), time.Minute) }, "CPU 3 does 0.50 of its work and 2 more; then"},
		{p.goOn, "0 of 2 runs; running round 1, work, stock"},
		{func() { p.wait([]Slow{slow}, time.Minute); p.next(slot("arm1")) }, "0 of 2 runs; running round 1, work, arm1"},
	} {
		step.do()
		if got := p.state().Doing; !strings.Contains(got, step.want) {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
}
