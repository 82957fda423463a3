// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"errors"
	"slices"
	"testing"
	"time"

	"mllb/features"
)

// lull is a script whose host can tell that nothing changed.
type lull struct {
	script
	still bool
	err   error
	asked []*features.Snapshot
}

func (l *lull) Unchanged(s *features.Snapshot) (bool, error) {
	l.asked = append(l.asked, s)
	return l.still, l.err
}

// calm is a lull in which everything allows the second tick to be skipped.
func calm(t *testing.T, mode Mode) (*lull, *Daemon) {
	t.Helper()
	l := &lull{still: true}
	d := daemon(t, &l.script, mode)
	d.Host, d.MaxSkip, d.ForksTraced = l, time.Second, true
	return l, d
}

// TestDaemonSkips changes one thing at a time of a host at rest.
func TestDaemonSkips(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mode    Mode
		change  func(l *lull, d *Daemon)
		asked   bool // the host is asked
		skipped bool
	}{
		{"at rest, held", Own, func(l *lull, _ *Daemon) { l.held = []int32{0} }, true, true},
		{"at rest, observe", Observe, func(*lull, *Daemon) {}, true, true},
		{"at rest, assist without leases", Assist, func(*lull, *Daemon) {}, true, true},
		{"a lease runs", Assist, func(l *lull, _ *Daemon) { l.held = []int32{0} }, false, false},
		{"a queue changed", Own, func(l *lull, _ *Daemon) { l.still = false }, true, false},
		{"the host cannot tell", Own, func(l *lull, _ *Daemon) { l.err = errors.New("blind") }, true, false},
		{"a host that has no way to tell", Own, func(l *lull, d *Daemon) { d.Host = &l.script }, false, false},
		{"switched off", Own, func(_ *lull, d *Daemon) { d.MaxSkip = 0 }, false, false},
		{"too long ago", Own, func(_ *lull, d *Daemon) { d.MaxSkip = 100 * time.Millisecond }, false, false},
		{"forks unseen, held", Own, func(l *lull, d *Daemon) { d.ForksTraced, l.held = false, []int32{0} }, false, false},
		{"forks unseen, nothing held", Own, func(_ *lull, d *Daemon) { d.ForksTraced = false }, true, true},
		{"a candidate", Own, func(l *lull, _ *Daemon) { l.plan.Candidates = []Candidate{{Reason: CoolDown}} }, false, false},
		{"a hold", Own, func(l *lull, _ *Daemon) {
			l.plan.Holds, l.holdErrs = []features.Hold{{}}, []error{nil}
		}, false, false},
		{"a release", Own, func(l *lull, _ *Daemon) { l.plan.Releases = []int32{0} }, false, false},
		{"a failed attempt", Own, func(l *lull, _ *Daemon) { l.plan.effect.attempts = []attempt{{hold: -1}} }, false, false},
		{"an imbalance that must last", Own, func(l *lull, _ *Daemon) { l.plan.effect.imbalanced = []bool{false, true} }, false, false},
		{"a thread about to be busy", Own, func(l *lull, _ *Daemon) { l.plan.effect.warming = true }, false, false},
		{"a thread left the scope", Own, func(l *lull, _ *Daemon) { l.held = []int32{2} }, false, false},
		{"the tick failed", Own, func(l *lull, _ *Daemon) { l.fail = map[string]error{"sync": errors.New("boom")} }, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, d := calm(t, tt.mode)
			tt.change(l, d)
			start := time.Now()
			for i := range 2 {
				if err := d.Tick(t.Context(), start.Add(time.Duration(i)*100*time.Millisecond), uint64(i)); err != nil {
					t.Fatal(err)
				}
			}
			first, second := l.ticks[0], l.ticks[1]
			if asked := len(l.asked) > 0; asked != tt.asked || asked && l.asked[0] != &d.snapshot {
				t.Errorf("asked the host: %v, want %v of the last snapshot", l.asked, tt.asked)
			}
			if first.Skipped || second.Skipped != tt.skipped || second.Dropped != 1 {
				t.Errorf("skipped: %v, then %v; want false, then %v", first.Skipped, second.Skipped, tt.skipped)
			}
			if tt.skipped && (second.Snapshot != nil || second.Plan != nil || second.Err != nil || second.Topology == nil) {
				t.Errorf("observer saw %+v", second)
			}
			if full := slices.Index(l.calls[slices.Index(l.calls, "observe")+1:], "snapshot") >= 0; full == tt.skipped {
				t.Errorf("calls %v", l.calls)
			}
		})
	}
}

// TestDaemonSkipsEnds goes on for longer than MaxSkip, then is disturbed.
func TestDaemonSkipsEnds(t *testing.T) {
	l, d := calm(t, Own)
	start := time.Now()
	for i := range 23 {
		l.still = i != 14
		if err := d.Tick(t.Context(), start.Add(time.Duration(i)*100*time.Millisecond), 0); err != nil {
			t.Fatal(err)
		}
	}
	var full []int
	for i := range l.ticks {
		if !l.ticks[i].Skipped {
			full = append(full, i)
		}
	}
	if want := []int{0, 10, 14}; !slices.Equal(full, want) {
		t.Errorf("full ticks %v, want %v", full, want)
	}
}

// TestPlanWarming: a thread that is about to count is waited for, in the
// balancer's own plans.
func TestPlanWarming(t *testing.T) {
	for _, tt := range []struct {
		name   string
		thread features.Thread
		mode   Mode
		want   bool // settled
	}{
		{"asleep", features.Thread{State: 'S', Runnable: 300}, Own, true},
		{"new and not busy yet", features.Thread{State: 'R', Runnable: 300}, Own, false},
		{"new, and nothing to be held", features.Thread{State: 'R', Runnable: 300}, Observe, true},
		{"just woke", features.Thread{State: 'R', Runnable: momentary - 1}, Observe, false},
		{"to be held", features.Thread{State: 'R', Runnable: 1000}, Own, false},
	} {
		b := NewBalancer(mustParse(t, "1x2x1"), Config{Mode: tt.mode}, Always{})
		var s features.Snapshot
		s.Runqueues = []features.Runqueue{{Online: true}, {Online: true}}
		s.Mask([]uint64{3})
		for i, th := range []features.Thread{tt.thread, {State: 'R', Runnable: 1024}} {
			th.TID, th.CPU, th.Hold, th.Managed, th.PreferredNode = int32(i+1), int32(i), -1, i == 0, features.NoNode
			s.Threads = append(s.Threads, th)
		}
		for range 2 { // the same snapshot, the same answer
			if got := b.Plan(&s).settled(); got != tt.want {
				t.Errorf("%s: settled %v, want %v", tt.name, got, tt.want)
			}
		}
	}
}
