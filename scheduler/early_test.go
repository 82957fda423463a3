// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"mllb/features"
)

// TestDaemonWatches changes what a tick left, and sees whether the daemon wants
// to hear of the next CPU that starves.
func TestDaemonWatches(t *testing.T) {
	move := func(f *script) {
		f.plan.Holds, f.holdErrs = []features.Hold{{}}, []error{nil}
	}
	for _, tt := range []struct {
		name   string
		mode   Mode
		change func(f *script)
		early  bool
		want   bool
	}{
		{"held", Own, func(f *script) { f.held = []int32{0} }, false, true},
		{"held now", Own, move, false, true},
		{"held for a lease", Assist, func(f *script) { f.held = []int32{0} }, false, true},
		{"nothing is held", Own, func(*script) {}, false, false},
		{"observe", Observe, move, false, false},
		{"an early tick moved something", Own, move, true, true},
		{"refused", Own, func(f *script) { move(f); f.holdErrs[0] = errors.New("no") }, false, false},
		{"an early tick let something go", Own, func(f *script) { f.held, f.plan.Releases = []int32{0, 1}, []int32{0} }, true, true},
		{"let go of all", Own, func(f *script) { f.held, f.plan.Releases = []int32{0}, []int32{0} }, false, false},
		{"what is held left the scope", Own, func(f *script) { f.held = []int32{2} }, false, false},
		{"an early tick was in vain", Own, func(f *script) { f.held = []int32{0} }, true, false},
		{"the tick failed", Own, func(f *script) { f.fail = map[string]error{"snapshot": errors.New("blind")} }, false, false},
	} {
		f := &script{}
		d := daemon(t, f, tt.mode)
		var got []bool
		d.Watch = func(yes bool) { got = append(got, yes) }
		tt.change(f)
		tick := func(now time.Time) error { return d.Tick(t.Context(), now, 0) }
		if tt.early {
			tick = func(now time.Time) error { return d.Early(t.Context(), now) }
		}
		if err := tick(time.Now()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []bool{tt.want}) || f.ticks[0].Early != tt.early {
			t.Errorf("%s: watches %v, want %v; tick %+v", tt.name, got, tt.want, f.ticks[0])
		}
	}
}

// An early tick that was in vain is followed by no other before one that is due.
func TestDaemonWatchesAgain(t *testing.T) {
	f := &script{held: []int32{0}}
	d := daemon(t, f, Own)
	var watch bool
	d.Watch = func(yes bool) { watch = yes }
	now := time.Now()
	if err := d.Early(t.Context(), now); err != nil || watch {
		t.Fatalf("early, in vain: %v, watches %v", err, watch)
	}
	if err := d.Tick(t.Context(), now, 0); err != nil || !watch {
		t.Fatalf("due: %v, watches %v", err, watch)
	}
}

// TestDaemonStarved wakes a daemon whose next tick is an hour away.
func TestDaemonStarved(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	starved := make(chan struct{}, 1)
	f := &script{held: []int32{0}}
	d := daemon(t, f, Own)
	d.Interval, d.Starved = time.Hour, starved
	d.Watch = func(yes bool) {
		if len(f.ticks) == 2 {
			cancel()
		}
		starved <- struct{}{}
	}
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.ticks) != 3 || f.ticks[0].Early || !f.ticks[1].Early || !f.ticks[2].Early || f.ticks[1].Dropped != 0 {
		t.Errorf("ticks %+v", f.ticks)
	}
}

// TestDaemonStarvedIsThrottled: what starves waits, too, where a tick is too dear.
func TestDaemonStarvedIsThrottled(t *testing.T) {
	p := newPurse(t, 0.01)
	p.next = p.earned(maxSavings) // all that it begins with
	if !p.tick(t, 0) {
		t.Fatal("the first tick is throttled")
	}
	p.cpuBudget.cost = 10 * time.Millisecond
	for _, tt := range []struct {
		after time.Duration
		ticks int
	}{{100 * time.Millisecond, 0}, {800 * time.Millisecond, 0}, {100 * time.Millisecond, 1}} {
		p.now, p.f.ticks = p.now.Add(tt.after), nil
		if err := p.Early(t.Context(), p.now); err != nil {
			t.Fatal(err)
		}
		if len(p.f.ticks) != tt.ticks {
			t.Errorf("%v later: %d ticks, want %d", tt.after, len(p.f.ticks), tt.ticks)
		}
	}
}
