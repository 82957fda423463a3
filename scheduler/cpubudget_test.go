// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// purse is a daemon whose full ticks take as much CPU time as next says.
type purse struct {
	*Daemon
	f    *script
	now  time.Time
	used time.Duration
	next time.Duration
}

func newPurse(t *testing.T, share float64) *purse {
	p := &purse{f: &script{}, now: time.Unix(1e9, 0)}
	p.Daemon = daemon(t, p.f, Own)
	p.f.onPlan = func() { p.used += p.next }
	p.MaxCPU, p.CPUTime = share, func() time.Duration { return p.used }
	return p
}

// tick reports whether it was a full one.
func (p *purse) tick(t rapid.TB, after time.Duration) bool {
	p.now = p.now.Add(after)
	p.f.calls = p.f.calls[:0]
	if err := p.Tick(context.Background(), p.now, 0); err != nil {
		t.Fatal(err)
	}
	last := p.f.ticks[len(p.f.ticks)-1]
	p.f.ticks = p.f.ticks[:0]
	if last.Throttled != (len(p.f.calls) == 1) || last.Throttled != (last.Snapshot == nil) || last.Skipped {
		t.Fatalf("calls %v, tick %+v", p.f.calls, last)
	}
	return !last.Throttled
}

func TestCPUBudget(t *testing.T) {
	const interval = 100 * time.Millisecond
	for _, tt := range []struct {
		name  string
		share float64
		cost  time.Duration
		full  int // of 1,000 ticks
	}{
		{"what fits is done", 0.01, time.Millisecond, 1000},
		{"what is cheap is done", 0.01, 300 * time.Microsecond, 1000},
		{"twice too dear", 0.01, 2 * time.Millisecond, 649}, // 150 at the start's expense
		{"a storm", 0.01, 8 * time.Millisecond, 162},
		{"an emulated machine", 0.01, 300 * time.Millisecond, 10}, // each ten seconds
		{"no limit", 0, time.Second, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPurse(t, tt.share)
			p.next = tt.cost
			full := 0
			for range 1000 {
				if p.tick(t, interval) {
					full++
				}
			}
			if full != tt.full {
				t.Errorf("%d full ticks, want %d", full, tt.full)
			}
		})
	}
}

// TestCPUBudgetSaves: half a minute's share is there at the start, and again for what
// comes after as long a rest.
func TestCPUBudgetSaves(t *testing.T) {
	p := newPurse(t, 0.01)
	for range 2 {
		p.next = 30 * time.Millisecond // an interval earns one
		full := 0
		for p.tick(t, 100*time.Millisecond) {
			full++
		}
		if full != 10 {
			t.Errorf("%d full ticks in a row, want 10", full)
		}
		p.next = 0
		for range 600 {
			p.tick(t, 100*time.Millisecond)
		}
	}
}

// TestCPUBudgetKeeps: whatever ticks cost and whenever they come, the daemon stays
// within its share, but for what it began with and what a tick took beyond the one before.
func TestCPUBudgetKeeps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		share := rapid.Float64Range(0.01, 1).Draw(rt, "share")
		p := newPurse(t, share)
		var began time.Time
		var cost, surprise time.Duration
		for range rapid.IntRange(1, 300).Draw(rt, "ticks") {
			p.next = time.Duration(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(rt, "cost"))
			if !p.tick(rt, time.Duration(rapid.Int64Range(1, int64(300*time.Millisecond)).Draw(rt, "after"))) {
				continue
			}
			if began.IsZero() {
				began = p.now
			}
			surprise, cost = max(surprise, p.next-cost), p.next
			up := p.now.Sub(began)
			if most := p.earned(up+maxSavings) + surprise + time.Microsecond; p.used > most {
				rt.Fatalf("%v used in %v at a share of %.4f: more than %v", p.used, up, share, most)
			}
		}
	})
}

// drowsy charges a purse for each time that the daemon wakes.
type drowsy struct {
	*script
	used *time.Duration
	cost time.Duration
}

func (d drowsy) Tick(t *Tick) {
	*d.used += d.cost
	d.script.Tick(t)
}

// TestCPUBudgetNaps: to wake costs, too. While ticks are left out the daemon sleeps
// through them, counts them, and so comes to the next full one.
func TestCPUBudgetNaps(t *testing.T) {
	for _, tt := range []struct {
		name       string
		tick, wake time.Duration
		full       [2]int // fewest and most in 100 s
		wakes      int    // most
	}{
		{"an emulated machine", 14 * time.Millisecond, 5 * time.Millisecond, [2]int{25, 52}, 130},
		{"wakes that cost more than MaxCPU earns", time.Millisecond, 2 * time.Millisecond, [2]int{300, 500}, 520},
		{"a storm", 8 * time.Millisecond, 150 * time.Microsecond, [2]int{155, 163}, 163},
		{"cheap", 300 * time.Microsecond, 150 * time.Microsecond, [2]int{999, 1001}, 1001},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPurse(t, 0.01)
				p.next, p.Interval, p.MaxNap = tt.tick, 100*time.Millisecond, time.Second
				p.Observer = drowsy{p.f, &p.used, tt.wake}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				if err := p.Run(ctx); err != nil {
					t.Fatal(err)
				}
				full, ticks, dropped := 0, 0, 0
				last := p.f.ticks[0].Start
				for _, tick := range p.f.ticks {
					ticks += 1 + int(tick.LeftOut)
					dropped += int(tick.Dropped)
					if !tick.Throttled {
						full++
					}
					if gap := tick.Start.Sub(last); gap > p.MaxNap {
						t.Errorf("slept for %v", gap)
					}
					last = tick.Start
				}
				if full < tt.full[0] || full > tt.full[1] || len(p.f.ticks) > tt.wakes {
					t.Errorf("%d full ticks, want %v; %d wakes, want at most %d", full, tt.full, len(p.f.ticks), tt.wakes)
				}
				if ticks < 989 || ticks > 1001 || dropped > 0 {
					t.Errorf("%d ticks and %d dropped, want a thousand and none", ticks, dropped)
				}
				if most := p.earned(100*time.Second+maxSavings) + tt.tick + tt.wake; p.used > most {
					t.Errorf("used %v, want at most %v", p.used, most)
				}
			})
		})
	}
}
