// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"testing"
	"time"

	"mllb/lab/record"
)

// TestScales plans all that would be recorded. What is quick must be so.
func TestScales(t *testing.T) {
	for _, s := range []Scale{Full, Quick} {
		var longest time.Duration // of all runs, one after the other
		for i, r := range s.Records {
			runs, err := r.plan()
			if err != nil || len(runs) == 0 {
				t.Fatalf("%s: %d runs, %v", s.Name, len(runs), err)
			}
			if r.Only != nil && len(runs) != len(r.Only) {
				t.Errorf("%s: %d runs of %d", s.Name, len(runs), len(r.Only))
			}
			if i == 0 && runs[0].Shape.String() != "2x14x2" {
				t.Errorf("%s: the paper's machine is %s", s.Name, runs[0].Shape)
			}
			for _, run := range runs {
				longest += run.Duration
			}
		}
		live, err := s.livePlan()
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		names := make(map[string]bool)
		for _, r := range live {
			n, longest, names[r.Name()] = n+r.Records, longest+r.Duration, true
		}
		if n < s.Live || len(names) != len(live) {
			t.Errorf("%s: %d live decisions of %d, %d names for %d runs", s.Name, n, s.Live, len(names), len(live))
		}
		var expect time.Duration
		for _, d := range s.expect {
			expect += d
		}
		if s.Name == "quick" && (longest > 10*time.Minute || expect > 15*time.Minute) {
			t.Errorf("quick: loads for %v, %v expected in all", longest, expect)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, r := range []Recording{{Profile: "none", Records: 1}, {Profile: "paper", Records: 1, Only: []string{"2x14x2-bursts-50-s1"}}, {Profile: "paper", Records: 1, Shapes: []string{"x"}}} {
		if runs, err := r.plan(); err == nil {
			t.Errorf("%+v: %d runs", r, len(runs))
		}
	}
}

// TestWatch counts what a guest tells, also when another takes the place of one
// that died in the middle.
func TestWatch(t *testing.T) {
	w := &watch{s: testSession(t), runs: []record.Run{{Records: 9}, {Records: 9}}}
	for _, text := range []string{
		`{"run":"a","compared":5}` + "\n" + `{"run":"a","comp`, `ared":9,"done":true,"stay_stay":9}` + "\n",
		`{"run":"b","compared":3}` + "\n" + `{"run":"b","com` + "\n", // it died
		`{"run":"a","compared":4,"done":true,"stay_stay":3,"migrate_stay":1}` + "\n",
		`{"run":"b","compared":2,"done":true,"migrate_migrate":2}` + "\n",
	} {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := []record.Observed{
		{Run: "a", Compared: 4, Done: true, Agreement: record.Agreement{StayStay: 3, MigrateStay: 1}},
		{Run: "b", Compared: 2, Done: true, Agreement: record.Agreement{MigrateMigrate: 2}},
	}
	if !equal(w.done, want) || w.sum != 6 {
		t.Errorf("%+v, %d in all", w.done, w.sum)
	}
}
