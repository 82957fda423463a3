// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/affinity"
	"mllb/features"
	"mllb/scheduler"
	"mllb/scx"
)

// unmanaged is a scope that leaves threads out.
type unmanaged map[string]int

func (l unmanaged) Unmanaged(*features.Snapshot) map[string]int { return l }

// TestTroubles: why nothing happens is said once, in every output, and is an
// error if nothing ever happened.
func TestTroubles(t *testing.T) {
	refused, invalid := fmt.Errorf("hold thread 7: %w", unix.EPERM), error(unix.EINVAL)
	full := func(managed bool, errs ...error) *scheduler.Tick {
		s := &features.Snapshot{Threads: []features.Thread{{Managed: managed}}}
		return &scheduler.Tick{Snapshot: s, Plan: &scheduler.Plan{}, Errors: errs}
	}
	skipped, throttled := &scheduler.Tick{Skipped: true}, &scheduler.Tick{Throttled: true}
	repeat := func(n int, t *scheduler.Tick) (all []*scheduler.Tick) {
		for range n {
			all = append(all, t)
		}
		return all
	}
	for name, tt := range map[string]struct {
		cfg    runCmd
		left   unmanaged
		unread uint64
		ticks  []*scheduler.Tick // ten a second
		says   string            // "": nothing
		err    string            // of nothing
	}{
		"all is well":                 {runCmd{}, nil, 0, repeat(60, full(true, nil)), "", ""},
		"at rest":                     {runCmd{}, nil, 0, append(repeat(1, full(true)), repeat(60, skipped)...), "", ""},
		"none managed, not for long":  {runCmd{}, nil, 0, append(repeat(9, full(false)), full(true)), "", ""},
		"a cgroup is empty":           {runCmd{Cgroup: "/a"}, nil, 0, repeat(20, full(false)), "no thread is managed: there is none in /a", "no thread was managed"},
		"all are pinned or left out":  {runCmd{}, unmanaged{"pinned by their owner": 3, "excluded": 1}, 0, repeat(20, full(false)), "no thread is managed: 1 excluded, 3 pinned by their owner", "no thread was managed"},
		"CMD is pinned":               {runCmd{Command: []string{"x"}}, unmanaged{"pinned by their owner": 3}, 0, repeat(20, full(false)), "3 pinned by their owner", ""},
		"observe":                     {runCmd{Mode: "observe"}, nil, 0, repeat(20, full(false)), "no thread is managed", ""},
		"managed at last":             {runCmd{}, nil, 0, append(repeat(20, full(false)), full(true)), "no thread is managed", ""},
		"every hold refused":          {runCmd{Command: []string{"x"}}, nil, 0, repeat(20, full(true, refused, refused)), "a hold was refused: hold thread 7: operation not permitted", "every hold was refused, the last: hold thread 7"},
		"some holds refused":          {runCmd{}, nil, 0, repeat(20, full(true, refused, nil)), "a hold was refused", ""},
		"threads end, owners pin":     {runCmd{}, nil, 0, repeat(20, full(true, affinity.ErrGone, affinity.ErrChanged, affinity.ErrForeign)), "", ""},
		"a CPU goes off line":         {runCmd{}, nil, 0, append(repeat(1, full(true, invalid, nil)), repeat(9, full(true, nil))...), "", ""},
		"no CPU is ever valid":        {runCmd{}, nil, 0, repeat(20, full(true, invalid)), "a hold was refused: invalid argument", "every hold was refused"},
		"files make no sense":         {runCmd{}, nil, 4, repeat(2, full(true)), "make no sense: line 3", ""},
		"nearly all ticks throttled":  {runCmd{MaxCPU: 1}, nil, 0, append(repeat(3, full(true)), repeat(100, throttled)...), "of 50 ticks were left out", ""},
		"half of the ticks throttled": {runCmd{MaxCPU: 1}, nil, 0, append(repeat(25, full(true)), repeat(25, throttled)...), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			st := &stats{}
			w := &troubles{log: slog.New(slog.NewTextHandler(&log, nil)), stats: st, cfg: &tt.cfg, scope: tt.left}
			if tt.unread > 0 {
				w.unread = func() (uint64, error) { return tt.unread, errors.New("line 3") }
			}
			start := time.Unix(1000, 0)
			for i, tick := range tt.ticks {
				tick.Start = start.Add(time.Duration(i) * 100 * time.Millisecond)
				w.Tick(tick)
			}
			c := st.read()
			var summary bytes.Buffer
			writeSummary(&summary, &c, time.Second, 0, "own", affinity.Report{})
			report := newReport(&c, identity{}, affinity.Report{})
			outputs := []string{log.String(), render(identity{}, &c, &counters{}, 0, 0), summary.String(), strings.Join(report.Warnings, "\n")}
			for i, out := range outputs {
				n := strings.Count(out, tt.says)
				if tt.says == "" && (i == 0 && out != "" || strings.Contains(out, "warning")) || tt.says != "" && n != 1 {
					t.Errorf("output %d: %q", i, out)
				}
			}
			if err := w.nothing(); err == nil && tt.err != "" || err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("nothing: %v, want %q", err, tt.err)
			}
			if c.Unread != tt.unread || (tt.unread > 0) != strings.Contains(summary.String(), "threads: unread 4") {
				t.Errorf("%d threads unread: %s", c.Unread, summary.String())
			}
		})
	}
}

// TestThrottledBesideScheduler: a sched_ext scheduler does not wait for ticks.
func TestThrottledBesideScheduler(t *testing.T) {
	for _, k := range []*schedExt{nil, {}, {scheduler: new(scx.Scheduler)}} {
		st := &stats{}
		w := &troubles{log: slog.New(slog.DiscardHandler), stats: st, cfg: &runCmd{}, kernel: k}
		for range 100 {
			w.Tick(&scheduler.Tick{Throttled: true})
		}
		c := st.read()
		if blind := len(c.Troubles) > 0; blind == k.loaded() {
			t.Errorf("loaded: %t, %q", k.loaded(), c.Troubles)
		}
	}
}

// TestRefusedIsTrue: holds that failed are among what was refused.
func TestRefusedIsTrue(t *testing.T) {
	c := counters{HoldFailed: 3}
	c.Candidates[0][scheduler.Stay] = 2
	if got := c.reasons(); got != "stay 2  hold_failed 3" {
		t.Error(got)
	}
	if got := refusals(&c); got["hold_failed"] != 3 || got["stay"] != 2 {
		t.Error(got)
	}
}
