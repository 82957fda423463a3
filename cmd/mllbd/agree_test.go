// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mllb/affinity"
	"mllb/features"
	"mllb/features/trace"
	"mllb/scheduler"
)

// decided makes records of a kernel that says so: each cold or hot task, and its
// answer.
func decided(hot, migrate bool, n int) (recs []features.Record) {
	for range n {
		d := features.Decision{Fair: true, Delta: 2, MigrationCost: 1, PreferredNode: features.NoNode}
		if hot {
			d.MigrationCost = 3
		}
		recs = append(recs, features.Record{Migrate: migrate, Decision: d})
	}
	return recs
}

// fakeTracer gives a batch at a time, and what is left once it is stopped.
type fakeTracer struct {
	batches  [][]features.Record
	left     []features.Record
	counters trace.Counters
	err      error
	stopped  bool
}

func (f *fakeTracer) Read(recs []features.Record, _ int) ([]features.Record, error) {
	for i, batch := range f.batches {
		f.batches = f.batches[i+1:]
		return append(recs, batch...), f.err
	}
	return recs, f.err
}

func (f *fakeTracer) Counters() (trace.Counters, error) { return f.counters, nil }

func (f *fakeTracer) Stop() error {
	f.stopped, f.batches, f.err = true, [][]features.Record{f.left}, nil
	return nil
}

func newAgreement(src *fakeTracer) *agreement {
	return &agreement{source: src, policy: scheduler.CFS{}, log: slog.New(slog.DiscardHandler)}
}

func TestAgreement(t *testing.T) {
	blocked := decided(false, false, 1) // not the rule's answer: not compared
	blocked[0].Condition = features.OnSourceCPU
	src := &fakeTracer{
		batches:  [][]features.Record{append(decided(false, true, 5), decided(true, false, 2)...), append(blocked, decided(true, true, 1)...)},
		left:     decided(false, false, 1),
		counters: trace.Counters{Calls: 12, Records: 10, Full: 2},
	}
	a := newAgreement(src)
	done := 0
	a.enough, a.done = 8, func() { done++ }
	a.Tick(nil)
	if c := a.read(); c.total() != 7 || done != 0 {
		t.Errorf("after a tick: %+v, ended %d times", c, done)
	}
	a.Tick(nil)
	if done != 1 {
		t.Errorf("8 decisions are enough, but it ended %d times", done)
	}
	if err := a.finish(); err != nil || !src.stopped {
		t.Errorf("%v, probes off: %v", err, src.stopped)
	}
	c := a.read()
	if want := (compared{By: [2][2]uint64{{2, 1}, {1, 5}}, Drops: 2}); *c != want {
		t.Errorf("%+v, want %+v", *c, want)
	}
	const want = "77.78 % of the kernel's decisions (7 of 9), balanced 75.00 %; stay 2 of 3, migrate 5 of 6; lost 2"
	if c.String() != want {
		t.Errorf("%s, want %s", c, want)
	}
}

// TestAgreementShown looks for it wherever a person or a program looks.
func TestAgreementShown(t *testing.T) {
	a := newAgreement(&fakeTracer{batches: [][]features.Record{decided(false, true, 3)}})
	a.Tick(nil)
	st := stats{agreement: a}
	st.Tick(sampleTick(t))
	c := st.read()
	const want = "100.00 % of the kernel's decisions (3 of 3); stay 0 of 0, migrate 3 of 3"
	if view := render(identity{}, &c, &c, 0, 0); !strings.Contains(view, "\nagrees     "+want+"\n") {
		t.Errorf("view:\n%s", view)
	}
	var out bytes.Buffer
	writeSummary(&out, &c, time.Second, 0, "observe", affinity.Report{})
	if !strings.Contains(out.String(), "mllbd: agrees with "+want+"\n") {
		t.Errorf("summary:\n%s", &out)
	}
	const metric = `
# HELP mllb_kernel_decisions_total Decisions of the kernel that were put to the policy too.
# TYPE mllb_kernel_decisions_total counter
mllb_kernel_decisions_total{kernel="migrate",policy="migrate"} 3
mllb_kernel_decisions_total{kernel="migrate",policy="stay"} 0
mllb_kernel_decisions_total{kernel="stay",policy="migrate"} 0
mllb_kernel_decisions_total{kernel="stay",policy="stay"} 0
`
	if err := testutil.CollectAndCompare(newMetrics(&st, identity{}), strings.NewReader(metric), "mllb_kernel_decisions_total"); err != nil {
		t.Error(err)
	}
}

// TestAgreementFails ends the comparison, and what waits for it, but not mllbd.
func TestAgreementFails(t *testing.T) {
	var logged bytes.Buffer
	a := newAgreement(&fakeTracer{err: errors.New("record of 3 bytes")})
	a.log = slog.New(slog.NewTextHandler(&logged, nil))
	done := 0
	a.enough, a.done = 1, func() { done++ }
	a.Tick(nil)
	a.Tick(nil)
	if n := strings.Count(logged.String(), "record of 3 bytes"); n != 1 || done != 1 {
		t.Errorf("said %d times, ended %d times: %s", n, done, &logged)
	}
	if err := a.finish(); err != nil {
		t.Error(err)
	}
}

func TestCompareRing(t *testing.T) {
	for interval, want := range map[time.Duration]int{
		time.Millisecond: 2 << 20, 100 * time.Millisecond: 2 << 20, 101 * time.Millisecond: 4 << 20,
		400 * time.Millisecond: 8 << 20, 10 * time.Second: trace.DefaultRing,
	} {
		if got := compareRing(interval); got != want {
			t.Errorf("%v: %d bytes, want %d", interval, got, want)
		}
	}
}
