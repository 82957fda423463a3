// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
)

// writers stands before and after each part of a daemon that sees the snapshot,
// and compares what the snapshot was with what it is.
type writers struct {
	*sim.Host
	t     *testing.T
	scope scheduler.Scope
	was   features.Snapshot
	holds int
}

// keep remembers what the snapshot is.
func (w *writers) keep(s *features.Snapshot) {
	w.was = *s
	w.was.Threads, w.was.Runqueues = slices.Clone(s.Threads), slices.Clone(s.Runqueues)
	w.was.Masks, w.was.Faults = slices.Clone(s.Masks), slices.Clone(s.Faults)
}

// only fails if more was written since than the fields that are named.
func (w *writers) only(who string, s *features.Snapshot, fields ...string) {
	w.t.Helper()
	opts := cmp.Options{cmpopts.IgnoreUnexported(features.Snapshot{}), cmpopts.IgnoreFields(features.Thread{}, fields...)}
	if len(s.Masks) > len(w.was.Masks) && who == "sync" {
		opts = append(opts, cmpopts.IgnoreFields(features.Snapshot{}, "Masks"))
	}
	if diff := cmp.Diff(w.was, *s, opts); diff != "" {
		w.t.Fatalf("%s wrote what is not its own (-before +after):\n%s", who, diff)
	}
	w.keep(s)
}

func (w *writers) Snapshot(s *features.Snapshot) error {
	err := w.Host.Snapshot(s)
	w.keep(s)
	for i := range s.Threads {
		if th := &s.Threads[i]; th.Managed || th.Owner != th.Allowed || th.Hold != -1 {
			w.t.Fatalf("the reader annotated %+v", th)
		}
	}
	return err
}

func (w *writers) Sync(s *features.Snapshot) error {
	w.only("the loop", s, "Managed")
	err := w.Host.Sync(s)
	w.only("sync", s, "Managed", "Owner", "Hold", "Allowed")
	return err
}

func (w *writers) Mark(s *features.Snapshot) {
	w.only("the loop", s)
	w.scope.Mark(s)
	for i := range s.Threads {
		if s.Threads[i].Managed && !w.was.Threads[i].Managed {
			w.t.Fatalf("the scope set Managed of %+v", s.Threads[i])
		}
	}
	w.only("mark", s, "Managed")
}

func (w *writers) Apply(s *features.Snapshot, holds []features.Hold, lease time.Duration) []error {
	errs := w.Host.Apply(s, holds, lease)
	w.only("apply", s)
	return errs
}

func (w *writers) Release(s *features.Snapshot, threads []int32) []error {
	errs := w.Host.Release(s, threads)
	w.only("release", s)
	return errs
}

type planner struct {
	scheduler.Planner
	w *writers
}

func (p planner) Plan(s *features.Snapshot) *scheduler.Plan {
	plan := p.Planner.Plan(s)
	p.w.only("plan", s)
	p.w.holds += len(plan.Holds)
	return plan
}

func (p planner) Commit(s *features.Snapshot, plan *scheduler.Plan, errs []error) {
	p.Planner.Commit(s, plan, errs)
	p.w.only("commit", s)
}

type observer struct{ *writers }

func (o observer) Tick(t *scheduler.Tick) { o.only("the loop", t.Snapshot) }

// TestSnapshotOrder holds the loop and its parts to what features.Snapshot says
// of who writes what, and when. Sync of the real enforcer is held to it by
// package affinity.
func TestSnapshotOrder(t *testing.T) {
	topo := machine(t, "2x2x1")
	h := sim.New(sim.Options{Topology: topo})
	h.Start(12, sim.Spec{CPU: 3})
	h.Start(1, sim.Spec{CPU: 2, TGID: 7})        // out of scope
	h.Start(1, sim.Spec{CPU: 2, Narrowed: true}) // not the enforcer's to hold
	b := scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, scheduler.Always{})
	w := &writers{Host: h, t: t, scope: &scheduler.Filter{Self: 7}}
	d := &scheduler.Daemon{
		Host: w, Enforcer: w, Scope: w, Planner: planner{b, w}, Observer: observer{w},
		Interval: time.Second, MaxFailures: 1, Topology: topo, Log: slog.New(slog.DiscardHandler),
	}
	for range 20 {
		h.Step(tick)
		if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if w.holds == 0 {
		t.Error("nothing was held")
	}
}
