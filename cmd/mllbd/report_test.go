// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"mllb/affinity"
	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// sampleTick is a tick on a host of two nodes with two CPUs each: three
// decisions of which one took effect and one failed, a hard refusal, an active
// balance, one thread held in place and one released.
func sampleTick(t testing.TB) *scheduler.Tick {
	topo, err := topology.Parse("2x2x1")
	if err != nil {
		t.Fatal(err)
	}
	s := &features.Snapshot{Runqueues: make([]features.Runqueue, 4)}
	for cpu, n := range []uint32{5, 1, 0, 12} {
		s.Runqueues[cpu] = features.Runqueue{Online: true, NrQueued: n}
	}
	for i := range 6 {
		th := features.Thread{ID: features.ID{TID: int32(100 + i), Start: uint64(1000 + i)}, TGID: 100, Hold: -1, Managed: true}
		th.Comm = features.Comm(`we"ird` + "\n\xff")
		s.Threads = append(s.Threads, th)
	}
	s.Threads[4].Hold, s.Threads[5].Managed = 1, false
	d := features.Decision{SrcNode: 0, DstNode: 1, SrcLen: 5, DstLen: 0, SrcLoad: 1500, Idle: features.Idle, PreferredNode: features.NoNode}
	slow := d
	slow.SrcSpeed, slow.DstSpeed, slow.SrcBusySiblings, slow.DstBusySiblings = 512, 1024, 1, 2
	unlike := scheduler.Verdict{Migrate: true, OutOfDistribution: true}
	yes, no := scheduler.Verdict{Migrate: true, Logit: 3 * features.One / 2}, scheduler.Verdict{Logit: -features.One}
	plan := &scheduler.Plan{
		Candidates: []scheduler.Candidate{
			{Thread: 0, From: 0, To: 2, Level: topology.Machine, Reason: scheduler.Moved, Hold: 0, Asked: true, Decision: d, Verdict: yes},
			{Thread: 1, From: 0, To: 1, Level: topology.Node, Reason: scheduler.Moved, Hold: 1, Asked: true, Decision: d, Verdict: unlike},
			{Thread: 2, From: 3, To: 2, Level: topology.Node, Reason: scheduler.Stay, Hold: -1, Asked: true, Decision: slow, Verdict: no},
			{Thread: 5, From: 3, To: 2, Level: topology.Node, Reason: scheduler.NotManaged, Hold: -1},
			{Thread: 3, From: 3, To: 2, Level: topology.Node, Reason: scheduler.Moved, Hold: 2, Active: true, Decision: slow},
		},
		Holds:    []features.Hold{{Thread: 0, CPU: 2}, {Thread: 1, CPU: 1}, {Thread: 3, CPU: 2}, {Thread: 2, CPU: 3}},
		Releases: []int32{4},
	}
	return &scheduler.Tick{
		Start: time.Date(2020, 8, 24, 10, 0, 0, 123456789, time.UTC), Took: 2 * time.Millisecond, Dropped: 1, Held: 3, // one before, three more, one released
		Topology: topo, Snapshot: s, Plan: plan,
		Errors: []error{nil, errors.New("no such process"), nil, nil}, ReleaseErrors: []error{nil},
	}
}

// golden compares got with a file of testdata, which -update writes.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestStats(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	c := st.read()
	got := map[string]float64{}
	for r := range shown(everywhere) {
		got[r.key] = r.total(&c)
	}
	want := map[string]float64{
		"releases_failed": 0, "ticks": 1, "early": 0, "failed": 0, "dropped": 1, "skipped": 0, "throttled": 0, "undone": 0,
		"threads": 6, "managed": 5, "held": 3, "cgroups_gone": 0, "unread": 0, "standby": 0, "imbalance": 12, "imbalance_mean": 12, "imbalance_max": 12,
		"asked": 3, "approved": 2, "moved": 2, "out_of_distribution": 1, "outputs_dropped": 0, "overridden": 0, "pulls_lost": 0, "wakes": 0, "enqueued": 0, "kicked": 0, "sched_ext_ended": 0, "looks": 0, "held_in_place": 1, "holds_failed": 1, "released": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	wantNodes := []nodeStat{{ID: 0, CPUs: 2, Queue: []uint32{5, 1}, Total: 6, Min: 1, Max: 5}, {ID: 1, CPUs: 2, Queue: []uint32{0, 12}, Total: 12, Max: 12}}
	if diff := cmp.Diff(wantNodes, c.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	wantCPUs := []cpuStat{{true, 5, 0}, {true, 1, 0}, {true, 0, 2}, {true, 12, 1}}
	if diff := cmp.Diff(wantCPUs, c.CPUs); diff != "" {
		t.Errorf("CPUs (-want +got):\n%s", diff)
	}
	st.Tick(&scheduler.Tick{Start: time.Now(), Err: errors.New("blind")})
	if c := st.read(); c.Failed != 1 || c.LastErr != "blind" || c.imbalanceMean() != 12 {
		t.Errorf("after a failed tick: %+v", c)
	}
	rest := time.Now()
	st.Tick(&scheduler.Tick{Start: rest, Skipped: true})
	c = st.read()
	if c.Ticks != 3 || c.Skipped != 1 || c.LastErr != "" || c.Last != rest || c.Imbalance != 12 || c.imbalanceMean() != 12 || c.Held != 3 {
		t.Errorf("after a skipped tick: %+v", c)
	}
	tick := sampleTick(t)
	if n := testing.AllocsPerRun(10, func() { st.Tick(tick) }); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
}

func TestView(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	before := st.read()
	st.Tick(sampleTick(t))
	c := st.read()
	id := identity{Mode: "own", Policy: "mlp", Model: "built-in", Backend: "bpf", Enforcer: "affinity"}
	golden(t, "view.txt", []byte(render(id, &c, &before, 0.0042, 61*time.Second)))
}

func TestBars(t *testing.T) {
	for _, tt := range []struct {
		queue []uint32
		want  string
	}{
		{[]uint32{0, 1, 9, 10, 100_000}, "[.19++]"},
		{make([]uint32, 32), "[" + strings.Repeat(".", 32) + "]"},
		{append(make([]uint32, 32), 3), "[" + strings.Repeat(".", 16) + "3]/2"},
		{slices.Repeat([]uint32{0, 2, 0, 1}, 32), "[" + strings.Repeat("2", 32) + "]/4"},
		{slices.Repeat([]uint32{7}, 1024), "[" + strings.Repeat("7", 32) + "]/32"},
	} {
		if got := bars(tt.queue); got != tt.want {
			t.Errorf("%d queues are %s, want %s", len(tt.queue), got, tt.want)
		}
	}
}

// TestViewOf1024CPUs: a line for each node, which fits a terminal, and few metrics for
// each CPU.
func TestViewOf1024CPUs(t *testing.T) {
	var st stats
	tick := sampleTick(t)
	topo, err := topology.Parse("8x8x8x2")
	if err != nil {
		t.Fatal(err)
	}
	tick.Topology = topo
	tick.Snapshot.Runqueues = make([]features.Runqueue, len(topo.CPUs))
	for cpu := range tick.Snapshot.Runqueues {
		tick.Snapshot.Runqueues[cpu] = features.Runqueue{Online: true, NrQueued: uint32(cpu % 4)}
	}
	tick.Snapshot.Runqueues[1023].NrQueued = 20
	st.Tick(tick)
	c := st.read()
	text := render(identity{}, &c, &c, 0, 0)
	want := "node 7  128 cpus  [" + strings.Repeat("3", 31) + "+]/4  queued 209  imbalance 20\n"
	if strings.Count(text, "\nnode ") != 8 || !strings.Contains(text, want) {
		t.Errorf("want 8 nodes, the last as\n%sin\n%s", want, text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "node ") && len(line)-1 > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	all := 0
	for i := range counterTable {
		series, most := 0, 64
		counterTable[i].each(&c, func(float64, ...string) { series++ })
		if slices.Equal(counterTable[i].labels, byCPU) {
			most = 1024
		}
		if all += series; series > most {
			t.Errorf("metric %s has %d series", counterTable[i].metric, series)
		}
	}
	if all > 3*1024 { // and as many with --speed canary
		t.Errorf("%d series", all)
	}
}

func TestSummary(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	c := st.read()
	var out bytes.Buffer
	writeSummary(&out, &c, 1500*time.Millisecond, 0.31, "own", affinity.Report{Restored: 3, Inherited: 1, Gone: 2})
	golden(t, "summary.txt", out.Bytes())
}

// memFile is an events file in memory that can be full.
type memFile struct {
	bytes.Buffer
	room int
}

func (m *memFile) Write(b []byte) (int, error) {
	n := min(len(b), m.room)
	m.room -= n
	m.Buffer.Write(b[:n])
	if n < len(b) {
		return n, unix.ENOSPC
	}
	return n, nil
}

func (m *memFile) Close() error { return nil }

// testEvents returns events that are written to f.
func testEvents(t *testing.T, f *memFile, log *slog.Logger) *events {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	e, err := openEvents(filepath.Join(t.TempDir(), "events"), "mlp", set, log)
	if err != nil {
		t.Fatal(err)
	}
	told := e.out.onError
	if err := e.close(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	e.out = newQueue(f, queueLimit)
	e.out.onError = told
	return e
}

func TestEvents(t *testing.T) {
	f := memFile{room: 1 << 20}
	e := testEvents(t, &f, slog.New(slog.DiscardHandler))
	tick := sampleTick(t)
	e.Tick(tick)
	tick.Errors, tick.ReleaseErrors = nil, nil // observe
	tick.Plan.Candidates = tick.Plan.Candidates[:1]
	e.Tick(tick)
	if err := e.close(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(f.Bytes()) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Errorf("%v in %s", err, line)
		}
	}
	golden(t, "events.jsonl", f.Bytes())
}

// TestEventsLost fills the disk in the middle of a line, and makes room again.
func TestEventsLost(t *testing.T) {
	var logged bytes.Buffer
	f := memFile{room: 100}
	e := testEvents(t, &f, slog.New(slog.NewTextHandler(&logged, nil)))
	tick := sampleTick(t)
	for n := range uint64(5) {
		tick.Start = tick.Start.Add(eventsFlush)
		e.Tick(tick)
		eventually(t, "the write fails", func() (bool, any) { got := e.out.failed.Load(); return got == n+1, got })
	}
	f.room = 1 << 20
	tick.Start = tick.Start.Add(eventsFlush)
	e.Tick(tick)
	if err := e.close(time.Now().Add(time.Minute)); err == nil {
		t.Error("lost events are no error")
	}
	if n := strings.Count(logged.String(), "events are being lost"); n != 1 {
		t.Errorf("reported %d times, want once:\n%s", n, logged.String())
	}
	for i, line := range strings.Split(strings.TrimSpace(f.String()), "\n") {
		if json.Valid([]byte(line)) != (i > 0) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		var got string
		if err := json.Unmarshal(appendJSON(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); len([]rune(got)) < len([]rune(want)) || strings.ToValidUTF8(s, "") == s && got != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
