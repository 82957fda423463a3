// SPDX-License-Identifier: Apache-2.0

package record

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/lab"
)

// TestPlans checks what each profile promises whatever the numbers.
func TestPlans(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			runs, err := p.Plan(Choice{Series: "6.12", Records: 1000, Duration: time.Minute, Recipe: "mllb lab record"})
			if err != nil {
				t.Fatal(err)
			}
			names, total := map[string]bool{}, uint64(0)
			for _, r := range runs {
				if names[r.Name()] {
					t.Errorf("%s occurs twice", r.Name())
				}
				names[r.Name()] = true
				total += r.Records
				if r.Recipe != "mllb lab record --only "+r.Name() {
					t.Errorf("recipe %q", r.Recipe)
				}
				back, err := r.encode()
				if err != nil {
					t.Fatal(err)
				}
				if got, err := Decode(back); err != nil || !cmp.Equal(got, r) {
					t.Errorf("%v, %s", err, cmp.Diff(r, got))
				}
			}
			if total < 1000 || total > 1000+uint64(len(runs)) {
				t.Errorf("%d records of %d runs, want 1000", total, len(runs))
			}
		})
	}
}

func TestPlanChoice(t *testing.T) {
	paper := profiles[slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == "paper" })]
	runs, err := paper.Plan(Choice{Shapes: []string{"2x2x1", "1x2x1"}, Seeds: 3, Records: 9, Duration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, r.Name())
	}
	want := []string{
		"2x2x1-stress-ng-50-s1", "2x2x1-stress-ng-100-s1", "2x2x1-stress-ng-200-s1",
		"1x2x1-stress-ng-50-s2", "1x2x1-stress-ng-100-s2", "1x2x1-stress-ng-200-s2",
		"2x2x1-stress-ng-50-s3", "2x2x1-stress-ng-100-s3", "2x2x1-stress-ng-200-s3",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := paper.Plan(Choice{Shapes: []string{"2x"}, Duration: time.Minute}); err == nil || !strings.Contains(err.Error(), `"2x"`) {
		t.Errorf("a bad shape: %v", err)
	}
}

func TestLoads(t *testing.T) {
	shape := lab.Shape{Sockets: 2, Caches: 1, Cores: 14, Threads: 2}
	for _, tt := range []struct {
		run  Run
		want []load
	}{
		{Run{Workload: Stressors, Load: 50, Seed: 3}, []load{{args: []string{"stress-ng", "--quiet", "--seed", "3", "--cpu", "30"}}}},
		{Run{Workload: Stressors, Load: 200, Seed: 3}, []load{{args: []string{"stress-ng", "--quiet", "--seed", "3", "--cpu", "120"}}}},
		{Run{Workload: "memory", Load: 100, Seed: 1}, []load{{args: []string{"mllb", "stress", "memory", "--threads", "56", "--procs", "1", "--seed", "1"}}}},
		{Run{Workload: "memory", Load: 100, Seed: 2}, []load{{args: []string{"mllb", "stress", "memory", "--threads", "56", "--procs", "14", "--seed", "2"}}}},
		{Run{Workload: "slices", Load: 100, Seed: 1}, []load{{args: []string{"mllb", "stress", "slices", "--threads", "112", "--procs", "1", "--seed", "1"}}}},
		{Run{Workload: Throttled, Load: 100, Seed: 1}, []load{
			{args: []string{"mllb", "stress", "bursts", "--threads", "28", "--procs", "1", "--seed", "1"}},
			{args: []string{"mllb", "stress", "bursts", "--threads", "28", "--procs", "1", "--seed", "65537"}, quota: true},
		}},
	} {
		tt.run.Shape = shape
		if d := cmp.Diff(tt.want, tt.run.loads(), cmp.AllowUnexported(load{})); d != "" {
			t.Errorf("%s: %s", tt.run.Name(), d)
		}
	}
}

func TestRenamed(t *testing.T) {
	for _, tt := range []struct{ former, want string }{
		{"2x2x2-numa-100+fast+hot+scan-s2", "2x2x2-memory-100+fast+hot+scan-s2"},
		{"1x2x4x2-wakers-50-s1", "1x2x4x2-slices-50-s1"},
		{"2x4x2-spin-200-s3", "2x4x2-bursts-200-s3"},
		{"2x4x2-mixed-200+fast-s3", ""},
		{"2x14x2-stress-ng-50-s1", ""},
		{"numa", ""}, {"", ""}, {"-", ""},
	} {
		got, ok := Renamed(tt.former)
		if ok != (tt.want != "") || ok && got != tt.want || !ok && got != tt.former {
			t.Errorf("%s: %s, %v", tt.former, got, ok)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Run{Workload: "bursts", Load: 100, Shape: lab.Shape{Sockets: 1, Caches: 1, Cores: 2, Threads: 1}, Duration: time.Second}
	for _, tt := range []struct {
		name   string
		change func(*Run)
		want   string
	}{
		{"a workload", func(r *Run) { r.Workload = "spam" }, `load "spam" is not one of`},
		{"a load", func(r *Run) { r.Load = 0 }, "load of 0 %"},
		{"a tuning", func(r *Run) { r.Tuning = []string{"slow"} }, `unknown tuning "slow"`},
		{"no end", func(r *Run) { r.Duration = 0 }, "needs a number of records or a duration"},
	} {
		r := good
		tt.change(&r)
		text, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := Decode("{"); err == nil {
		t.Error("half a document was read")
	}
}

func TestTune(t *testing.T) {
	root := t.TempDir()
	files := []string{"verbose", "domains/cpu0/domain0/min_interval", "domains/cpu0/domain1/min_interval",
		"domains/cpu0/domain0/max_interval", "domains/cpu0/domain0/busy_factor"}
	for _, f := range files {
		name := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := tune(root, "fast"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Y", "1", "1", "4", "1"} {
		if b, err := os.ReadFile(filepath.Join(root, files[i])); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v, want %q", files[i], b, err, want)
		}
	}
	if err := tune(root, "hot"); err == nil || !strings.Contains(err.Error(), "tuning hot: no file") || !strings.Contains(err.Error(), "migration_cost_ns") {
		t.Errorf("without its file: %v", err)
	}
}
