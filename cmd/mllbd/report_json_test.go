// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/affinity"
	"mllb/bench/daemon"
)

// The file says what the counters say, and is read back the same.
func TestReportFile(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	path := filepath.Join(t.TempDir(), "report.json")
	s := &session{cfg: &runCmd{Report: path}, id: identity{Mode: "own", Policy: "mlp", Model: "built-in", Rung: "bpf", Enforcer: "affinity"},
		restored: affinity.Report{Restored: 2, Inherited: 3, Failed: 1}}
	s.stats.c, s.stats.start = st.c, time.Now()
	if err := s.report(os.ErrDeadlineExceeded); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := daemon.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Seconds <= 0 {
		t.Errorf("%v seconds", got.Seconds)
	}
	got.Seconds, got.CPUSeconds = 0, 0
	want := &daemon.Report{
		Schema: 1, Mode: "own", Policy: "mlp", Model: "built-in", Snapshots: "bpf", Enforcer: "affinity",
		Ticks: 1, Missed: 1,
		Asked:    map[string]uint64{"node": 2, "machine": 1},
		Approved: map[string]uint64{"node": 1, "machine": 1},
		Moved:    map[string]uint64{"node": 1, "machine": 1},
		Outside:  1, Refused: map[string]uint64{"stay": 1, "not_managed": 1},
		HeldInPlace: 1, HoldFailed: 1, Released: 1, ImbalanceMean: 12, ImbalanceMax: 12,
		Restored: 5, Left: 1, Error: "i/o timeout",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if !got.Changed() || daemon.Total(got.Moved) != 2 {
		t.Error("it moved two threads")
	}
}
