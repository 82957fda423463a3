// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
	"mllb/internal/screen"
	"mllb/mlp"
	"mllb/scheduler"
)

// watched is a watcher of stats, with the built-in model.
func watched(t testing.TB) *watcher {
	t.Helper()
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(&stats{start: time.Now()})
	w.identify(identity{Mode: "own", Policy: "mlp", Model: "built-in"}, judge{model: m, set: m.Set}, 100*time.Millisecond)
	return w
}

func (w *watcher) tick(t *scheduler.Tick) {
	w.stats.Tick(t)
	w.Tick(t)
}

// TestWatcher: what is shown of a tick, and what its moves came to.
func TestWatcher(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	w.lookers.Add(1)
	tick.Start = tick.Start.Add(time.Second)
	tick.Snapshot.Threads[0].Hold = 2
	w.tick(tick)
	st, setup, version := w.look(nil, 0)
	if st.Setup == nil || setup != st.Setup || len(setup.CPUs) != 4 || len(setup.Features) != len(w.judge.set.Features) {
		t.Errorf("setup: %+v", st.Setup)
	}
	if diff := cmp.Diff([]uint32{5, 1, 0, 12}, st.Queue); diff != "" || st.Speed != nil || st.Mode != "own" || !st.Read.Equal(tick.Start) {
		t.Errorf("state: %+v", st)
	}
	if n := slots; st.Imbalance[n-1] != 12 || st.Imbalance[n-2] != -1 || st.Imbalance[n-3] != 12 || st.Moves[n-1] != 2 || st.Moves[n-3] != 2 {
		t.Errorf("timeline: %v, %v", st.Imbalance[n-4:], st.Moves[n-4:])
	}
	d := screen.Decision{At: tick.Start, TGID: 100, Comm: "we\"ird\n\xff", FromQueue: 5}
	want := []screen.Decision{d, d, d, d}
	for i, edit := range []func(d *screen.Decision){
		func(d *screen.Decision) {
			d.TID, d.To, d.Level, d.Migrate, d.Network, d.Logit, d.Moved, d.Why = 100, 2, "machine", true, true, 1.5, true, "moved"
		},
		func(d *screen.Decision) {
			d.TID, d.To, d.Level, d.Migrate, d.Why = 101, 1, "node", true, "no such process"
		},
		func(d *screen.Decision) {
			d.TID, d.From, d.To, d.Level, d.Network, d.Logit, d.Why = 102, 3, 2, "node", true, -1, "stay"
		},
		func(d *screen.Decision) {
			d.TID, d.From, d.To, d.Level, d.Active, d.Migrate, d.Moved, d.Why = 103, 3, 2, "node", true, true, true, "moved"
		},
	} {
		edit(&want[i])
		want[i].Seq, want[i].Rule = uint64(i+1), scheduler.CFS{}.Decide(&tick.Plan.Candidates[0].Decision).Migrate
	}
	if diff := cmp.Diff(want, st.Decisions, cmpopts.IgnoreFields(screen.Decision{}, "Values", "Outside")); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}

	// A second later the first thread is back where it was, and the last ran half the time.
	next := sampleTick(t)
	next.Start, next.Snapshot.Time = tick.Start.Add(time.Second), tick.Snapshot.Time+int64(time.Second)
	next.Plan, next.Errors, next.ReleaseErrors, next.Topology = &scheduler.Plan{}, nil, nil, tick.Topology
	next.Snapshot.Threads = next.Snapshot.Threads[:4]
	next.Snapshot.Threads[3].Hold, next.Snapshot.Threads[3].CPU, next.Snapshot.Threads[3].Runtime = 2, 2, uint64(time.Second/2)
	w.tick(next)
	st, _, _ = w.look(setup, version)
	after := make(map[int32]screen.After)
	for _, d := range st.Decisions {
		after[d.TID] = *d.After
	}
	if diff := cmp.Diff(map[int32]screen.After{100: {Seen: true, Undone: true}, 103: {Seen: true, CPU: 2, Share: 0.5}}, after); diff != "" {
		t.Errorf("what became of the moves (-want +got):\n%s", diff)
	}
}

// TestWatcherMovedAgain: what a thread ran until its next move is what the first came to.
func TestWatcherMovedAgain(t *testing.T) {
	w := watched(t)
	w.lookers.Add(1)
	tick := sampleTick(t)
	w.tick(tick)
	tick.Snapshot.Time += int64(time.Second / 5)
	tick.Snapshot.Threads[3].Runtime, tick.Snapshot.Threads[3].Hold, tick.Snapshot.Threads[3].CPU = uint64(time.Second/20), 2, 2
	w.tick(tick)
	st, _, _ := w.look(nil, 0)
	var got []*screen.After
	for _, d := range st.Decisions {
		if d.TID == 103 {
			got = append(got, d.After)
		}
	}
	if diff := cmp.Diff([]*screen.After{{Seen: true, CPU: 2, Share: 0.25}, nil}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWatcherOutside: each feature that is out of its range is named.
func TestWatcherOutside(t *testing.T) {
	w := watched(t)
	w.lookers.Add(1)
	tick := sampleTick(t)
	c := &tick.Plan.Candidates[0]
	c.Decision.SrcLen, c.Verdict = 100_000, scheduler.Verdict{OutOfDistribution: true}
	w.tick(tick)
	st, setup, _ := w.look(nil, 0)
	d := st.Decisions[0]
	var names []string
	for _, k := range d.Outside {
		names = append(names, setup.Features[k].Name)
	}
	if d.Network || !strings.Contains(strings.Join(names, " "), "src_len") {
		t.Errorf("outside: %v of %+v", names, d)
	}
}

// TestWatcherAlone: nobody looks, and a tick costs no memory.
func TestWatcherAlone(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	if n := testing.AllocsPerRun(100, func() { tick.Start = tick.Start.Add(time.Second / 10); w.Tick(tick) }); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
	if st, _, _ := w.look(nil, 0); len(st.Decisions) != 0 || len(st.Queue) != 4 {
		t.Errorf("state: %+v", st)
	}
}

// TestWatcherThrottled: what was not read is not taken for read.
func TestWatcherThrottled(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	for i, late := range []scheduler.Tick{{Throttled: true}, {Err: errors.New("blind")}} {
		late.Start = tick.Start.Add(time.Duration(i+1) * time.Second)
		w.tick(&late)
		if st, _, _ := w.look(nil, 0); st.Throttled != late.Throttled || !st.Read.Equal(tick.Start) || st.Imbalance[slots-1] != -1 {
			t.Errorf("tick %d: throttled %t, read %v, imbalance %v", i, st.Throttled, st.Read, st.Imbalance[slots-3:])
		}
	}
}

// TestViewerRedrawsInPlace draws over the frame before, unless the terminal's size changed.
func TestViewerRedrawsInPlace(t *testing.T) {
	w := watched(t)
	w.tick(sampleTick(t))
	var out bytes.Buffer
	width, height := 80, 24
	v := &viewer{watcher: w, out: &out, size: func() (int, int) { return width, height }}
	frame := func() string {
		out.Reset()
		v.draw(time.Now())
		return out.String()
	}
	for i, want := range []string{"\r\x1b[0;1mmllbd own", "\x1b[23A\r", "\x1b[23A\r"} {
		if got := frame(); !strings.HasPrefix(got, want) || strings.Count(got, "\x1b[K\n") != 23 {
			t.Errorf("frame %d: %q", i, got)
		}
	}
	width, height = 60, 10
	if got := frame(); !strings.HasPrefix(got, "\x1b[H\x1b[2J\r") || strings.Count(got, "\n") != 9 {
		t.Errorf("after another size: %q", got)
	}
	q := newQueue(io.Discard, 0)
	_ = q.close(time.Now().Add(patience()))
	v.out, width = q, 70 // which drops it
	if v.draw(time.Now()); v.width != 60 {
		t.Error("a frame that was dropped is taken for drawn")
	}
}

func BenchmarkWatcher(b *testing.B) {
	for _, lookers := range []int32{0, 1} {
		b.Run(fmt.Sprint(lookers, "-lookers"), func(b *testing.B) {
			w := watched(b)
			w.lookers.Store(lookers)
			tick := sampleTick(b)
			tick.Snapshot.Runqueues = make([]features.Runqueue, 1024)
			b.ReportAllocs()
			for b.Loop() {
				tick.Start = tick.Start.Add(100 * time.Millisecond)
				w.Tick(tick)
			}
		})
	}
}
