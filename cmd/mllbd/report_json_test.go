// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/affinity"
	"mllb/internal/runreport"
	"mllb/internal/version"
)

// The file says what the counters say, and is read back the same.
func TestReportFile(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	path := filepath.Join(t.TempDir(), "report.json")
	s := &session{cfg: &runCmd{Report: path}, id: identity{Mode: "own", Policy: "mlp", Model: "built-in", Backend: "bpf", Enforcer: "affinity"},
		restored: affinity.Report{Restored: 2, Inherited: 3, Failed: 1}}
	s.stats.c, s.stats.start = st.c, time.Now()
	if err := s.openReport(); err != nil {
		t.Fatal(err)
	}
	if err := s.report(os.ErrDeadlineExceeded); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runreport.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Seconds <= 0 {
		t.Errorf("%v seconds", got.Seconds)
	}
	got.Seconds, got.CPUSeconds = 0, 0
	want := &runreport.Report{
		Schema: 2, Version: version.Read().String(), Mode: "own", Policy: "mlp", Model: "built-in", Snapshots: "bpf", Enforcer: "affinity",
		Counters: map[string]float64{
			"ticks": 1, "early": 0, "failed": 0, "dropped": 1, "skipped": 0, "throttled": 0, "undone": 0,
			"asked": 3, "approved": 2, "moved": 2, "out_of_distribution": 1, "outputs_dropped": 0, "overridden": 0, "pulls_lost": 0, "wakes": 0, "enqueued": 0, "kicked": 0, "sched_ext_ended": 0,
			"held_in_place": 1, "holds_failed": 1, "released": 1, "releases_failed": 0, "imbalance_mean": 12, "imbalance_max": 12, "cgroups_gone": 0, "unread": 0, "standby": 0, "looks": 0,
		},
		Asked:       map[string]uint64{"node": 2, "machine": 1},
		Approved:    map[string]uint64{"node": 1, "machine": 1},
		Moved:       map[string]uint64{"node": 1, "machine": 1},
		Refused:     map[string]uint64{"stay": 1, "not_managed": 1, "hold_failed": 1},
		HeldInPlace: 1, Restored: 5, Left: 1, Error: "i/o timeout",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if !got.Changed() || runreport.Total(got.Moved) != 2 {
		t.Error("it moved two threads")
	}
}
