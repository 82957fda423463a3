// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mllb/affinity"
)

func TestCounterTable(t *testing.T) {
	keys, metrics := map[string]bool{"": true}, map[string]bool{"": true}
	for i := range counterTable {
		r := &counterTable[i]
		name := r.key + "/" + r.metric
		if r.key != "" && keys[r.key] || r.metric != "" && metrics[r.metric] {
			t.Errorf("%s is there twice", name)
		}
		keys[r.key], metrics[r.metric] = true, true
		if r.key == "" && r.metric == "" || (r.key == "") != (r.show == 0) {
			t.Errorf("%s: shown %b", name, r.show)
		}
		if r.metric != "" && (r.kind == counted) != strings.HasSuffix(r.metric, "_total") {
			t.Errorf("%s: only what grows is a total", name)
		}
		if !strings.HasSuffix(r.help, ".") {
			t.Errorf("%s: help %q", name, r.help)
		}
		r.each(&counters{}, func(_ float64, labels ...string) {
			if len(labels) != len(r.labels) {
				t.Errorf("%s: labels %q of %q", name, labels, r.labels)
			}
		})
	}
}

// TestCounterIsOneRow adds a counter to the table and looks for it wherever a
// person or a program looks.
func TestCounterIsOneRow(t *testing.T) {
	table := counterTable
	t.Cleanup(func() { counterTable = table })
	counterTable = append(counterTable[:len(table):len(table)], counter{"blue_moons", "blue_moons_total", counted, unitTicks, everywhere, nil,
		"Ticks in a blue moon.", func(_ *counters, emit emit) { emit(3) }})

	var logged, summary bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	s := &session{cfg: &runCmd{LogForm: "json"}, log: log}
	s.stats.start = time.Now()
	s.stats.Tick(sampleTick(t))
	c := s.stats.read()

	if n := testutil.CollectAndCount(newMetrics(&s.stats, identity{}), "mllb_blue_moons_total"); n != 1 {
		t.Errorf("%d metrics", n)
	}
	if view := render(identity{}, &c, &c, 0, 0); !strings.Contains(view, "  blue moons 3\n") {
		t.Errorf("view:\n%s", view)
	}
	if writeSummary(&summary, &c, time.Second, 0, "observe", affinity.Report{}); !strings.Contains(summary.String(), ", blue moons 3;") {
		t.Errorf("summary:\n%s", &summary)
	}
	if r := newReport(&c, identity{}, affinity.Report{}); r.Counters["blue_moons"] != 3 {
		t.Errorf("report: %v", r.Counters)
	}
	(&reporter{log: log, before: counters{}}).line(&c, 0)
	s.summary()
	for line := range strings.Lines(logged.String()) {
		var record struct {
			Msg   string
			Moons *float64 `json:"blue_moons"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		// The line of each second tells what it grew by, which is nothing.
		if want := map[string]float64{"balance": 0, "summary": 3}[record.Msg]; record.Moons == nil || *record.Moons != want {
			t.Errorf("log, want %v: %s", want, line)
		}
	}
}
