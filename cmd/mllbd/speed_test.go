// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mllb/affinity"
	"mllb/features/speed"
	"mllb/internal/runreport"
	"mllb/scheduler"
)

// measured are counters of a host of which one CPU is slow.
func measured() *counters {
	return &counters{
		Speeds: []speed.CPU{{CPU: 0, Speed: 1024, Min: 1000, Median: 1024}, {CPU: 3, Speed: 530, Min: 500, Median: 1008, Alarms: 2}},
		Looks:  &speed.Counts{Used: 7, Uncertain: 2, Lost: 1},
	}
}

func TestSpeedsShown(t *testing.T) {
	c := measured()
	if view := render(identity{}, c, c, 0, 0); !strings.Contains(view, "\nspeeds     cpu 3 0.52\n") {
		t.Errorf("view:\n%s", view)
	}
	var summary bytes.Buffer
	writeSummary(&summary, c, time.Second, 0, "observe", affinity.Report{})
	if want := "mllbd: speeds: cpu 3 0.52; looks 10 (used 7, uncertain 2, lost 1)\n"; !strings.Contains(summary.String(), want) {
		t.Errorf("summary:\n%s", &summary)
	}
	want := []runreport.Speed{{CPU: 0, Min: 1000, Median: 1024, Last: 1024}, {CPU: 3, Min: 500, Median: 1008, Last: 530, Alarms: 2}}
	if diff := cmp.Diff(want, newReport(c, identity{}, affinity.Report{}).Speeds); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestSpeedsNamed(t *testing.T) {
	many := func(speeds ...uint32) *counters {
		c := &counters{}
		for cpu, s := range speeds {
			c.Speeds = append(c.Speeds, speed.CPU{CPU: cpu, Speed: s})
		}
		return c
	}
	for _, tt := range []struct {
		c    *counters
		want string
	}{
		{many(), ""},
		{many(1024, 1024), "all alike"},
		{many(900, 1024, 100), "cpu 2 0.10  cpu 0 0.88"},
		{many(900, 1024, 100, 100, 100, 100, 100, 800), "cpu 2 0.10  cpu 3 0.10  cpu 4 0.10  cpu 5 0.10  cpu 6 0.10  cpu 7 0.78  1 more below 1"},
	} {
		if got := tt.c.speeds(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.c.Speeds, got, tt.want)
		}
	}
}

// TestSpeedsOfThisHost has the real canary write into snapshots, metrics and counters.
func TestSpeedsOfThisHost(t *testing.T) {
	s := &session{cfg: parse(t, "--speed", "canary"), log: slog.New(slog.DiscardHandler)}
	if err := s.readTopology(); err != nil {
		t.Fatal(err)
	}
	s.openSpeeds()
	if s.canary == nil {
		t.Fatal("nothing is measured")
	}
	defer s.closeSpeeds()
	tick := sampleTick(t)
	for cpu := range tick.Snapshot.Runqueues { // of more CPUs than there may be
		tick.Snapshot.Runqueues[cpu].NrRunning = 0
	}
	eventually(t, "a CPU is known", func() (bool, any) {
		s.canary.Speeds(tick.Snapshot)
		c := s.stats.read()
		return len(c.Speeds) > 0 && c.Looks.Used > 0, c.Looks
	})
	if n := testutil.CollectAndCount(newMetrics(&s.stats, identity{}), "mllb_cpu_speed"); n == 0 {
		t.Error("no metric")
	}
}

func TestSpeedsOff(t *testing.T) {
	for _, args := range [][]string{{}, {"--root", t.TempDir()}, {"--mode", "own", "--speed", "off"}} {
		s := &session{cfg: parse(t, args...), log: slog.New(slog.DiscardHandler)}
		if s.openSpeeds(); s.canary != nil {
			t.Errorf("%v: measured all the same", args)
		}
		s.closeSpeeds()
	}
}

// told are changes to be logged, once.
type told []speed.Change

func (c *told) Changes() []speed.Change {
	all := *c
	*c = nil
	return all
}

func TestSpeedLog(t *testing.T) {
	var out bytes.Buffer
	l := speedLog{log: slog.New(slog.NewTextHandler(&out, nil)), canary: &told{{CPU: 3, Share: 0.518, Since: time.Date(2026, 1, 1, 12, 1, 7, 0, time.Local)}}}
	now := time.Now()
	l.Tick(&scheduler.Tick{Start: now})
	if want := `msg="CPU 3 does 0.52 of its work since 12:01:07"`; !strings.Contains(out.String(), want) {
		t.Errorf("logged %s", &out)
	}
	out.Reset()
	l.canary = &told{{CPU: 1, Share: 1}}
	if l.Tick(&scheduler.Tick{Start: now.Add(100 * time.Millisecond)}); out.Len() > 0 {
		t.Errorf("within the second: %s", &out)
	}
	if l.Tick(&scheduler.Tick{Start: now.Add(time.Second)}); out.Len() == 0 {
		t.Error("nothing after a second")
	}
}
