// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// TestReportDisturbed: a disturbed run changes nothing of what a report says, but
// is told of, in all forms; one that is kept counts.
func TestReportDisturbed(t *testing.T) {
	h, records := sampleRun(t)
	h.Config.Steady = 15
	want := newReport(h, records)
	disturbed := func(i, cpu int, share float64) Record {
		r := records[i]
		r.Wall *= 2
		r.Disturbed = []Slow{{cpu, share, "before"}, {cpu, share + 0.1, "after"}}
		r.Steady = &Steadiness{CPUs: []int{0, 1}, Before: []float64{100, 100}, After: []float64{100, 100}, Least: share}
		return r
	}
	all := slices.Concat(records, []Record{disturbed(3, 0, 0.52), disturbed(3, 1, 0.61), disturbed(40, 0, 0.7)})
	last := &all[50]
	last.Disturbed, last.Kept = []Slow{{1, 0.4, "after"}}, true
	first := &all[45]
	first.Disturbed, first.Kept = last.Disturbed, true
	dir := t.TempDir()
	r := written(t, dir, h, all)
	if diff := cmp.Diff(asJSON(t, want.Workloads), asJSON(t, r.Workloads)); diff != "" || r.Again != 3 || r.Runs != want.Runs || r.Warmup != want.Warmup {
		t.Errorf("%d made again, %d count, %d for warm-up (-want +got):\n%s", r.Again, r.Runs, r.Warmup, diff)
	}
	slices.Reverse(all)
	if again := newReport(h, all).Notes; !slices.Equal(again, r.Notes) {
		t.Errorf("notes %q in another order are %q", r.Notes, again)
	}
	slices.Reverse(all)
	for _, note := range []string{
		"3 runs were made again, since a CPU was more than 15 % slower than before: CPU 0 in 2 runs (down to 0.52 of its work), CPU 1 in 1 run (down to 0.61 of its work)",
		"disturbed by a slow CPU, but counted after being made again 5 times: 2 runs: " + first.Slot.String() + " (CPU 1 did 0.40 of its work after it), " + last.Slot.String() + " (CPU 1 did 0.40 of its work after it)",
	} {
		if !slices.Contains(r.Notes, note) {
			t.Errorf("no note %q in %q", note, r.Notes)
		}
	}
	checkRows(t, dir, len(records), 45, 50)
}

// written is the report of runs that were written to a directory.
func written(t *testing.T, dir string, h Head, records []Record) *Report {
	t.Helper()
	s, err := openStore(dir, h, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, r := range records {
		if err := s.append(r); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkRows looks for the marks of runs in runs.parquet: those from late on are
// disturbed, those of kept are, too, but count.
func checkRows(t *testing.T, dir string, late int, kept ...int) {
	t.Helper()
	rows, err := parquet.ReadFile[rawRow](filepath.Join(dir, "runs.parquet"))
	if err != nil || len(rows) <= late {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	for i, row := range rows {
		late, kept := i >= late, slices.Contains(kept, i)
		if row.Disturbed != (late || kept) || row.Kept != kept || (row.Steadiness != nil) != late {
			t.Errorf("row %d: disturbed %v, kept %v, steadiness %v", i, row.Disturbed, row.Kept, row.Steadiness)
		}
	}
}

// TestSlowInHindsight: a benchmark that begins in a slow minute says so later.
func TestSlowInHindsight(t *testing.T) {
	h, records := sampleRun(t)
	h.Config.Steady = 15
	for i := range records {
		speed := []float64{100, 100}
		if i < 14 { // of which ten are warm-up
			speed = []float64{100, 60}
		}
		records[i].Steady = &Steadiness{CPUs: []int{0, 1}, Before: speed, After: []float64{100, 100}, Least: 1}
	}
	want := "counted, but made before it was known how fast a CPU can be, and so maybe slow: 4 runs"
	if notes := newReport(h, records).Notes; !slices.Contains(notes, want) {
		t.Errorf("no note %q in %q", want, notes)
	}
	h.Config.Steady = 45
	if notes := newReport(h, records).Notes; slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "maybe slow") }) {
		t.Errorf("within the limit: %q", notes)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
