// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
)

func locality17(t testing.TB) *features.Set {
	t.Helper()
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestMerge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all")
	n, err := Merge(t.Context(), path, false, "me", samplePath("a"), samplePath("b"), samplePath("newer"), samplePath("speeds"))
	if err != nil {
		t.Fatal(err)
	}
	meta, rows := readFile(t, path)
	if want := []Run{samples[0].run, samples[1].run, samples[3].run, samples[4].run}; !reflect.DeepEqual(meta.Runs, want) {
		t.Errorf("runs %+v", meta.Runs)
	}
	want := slices.Concat(samples[0].records, samples[1].records, samples[3].records, samples[4].records)
	if n != int64(len(want)) || !reflect.DeepEqual(records(rows), want) {
		t.Errorf("%d rows, %d read: not those that went in", n, len(rows))
	}
	if r := rows[121].Run; r.ID != "b" || r.Load != "100" || r.Tag != "nice" {
		t.Errorf("row 121 is of %+v", r)
	}
}

func TestMergeRefuses(t *testing.T) {
	dir := t.TempDir()
	older := filepath.Join(dir, "older")
	writeParquet(t, older, schema, nil, func(kv map[string]string) { kv[keySchema] = "0" })
	for _, tc := range []struct {
		want  string
		paths []string
	}{
		{`run "a" is in both testdata/a.parquet and testdata/a.parquet`, []string{"a", "b", "a"}},
		{`schema version "0", this program reads 1 to 2`, []string{"a", "@older"}},
		{"no such file", []string{"a", "@nowhere"}},
	} {
		var paths []string
		for _, p := range tc.paths {
			if name, ok := strings.CutPrefix(p, "@"); ok {
				paths = append(paths, filepath.Join(dir, name))
			} else {
				paths = append(paths, samplePath(p))
			}
		}
		out := filepath.Join(dir, "out")
		if _, err := Merge(t.Context(), out, false, "", paths...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %s", tc.paths, err, tc.want)
		}
		if left, _ := filepath.Glob(out + "*"); left != nil {
			t.Errorf("%v: left %v", tc.paths, left)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Merge(ctx, out, false, "", samplePath("a")); err != context.Canceled {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(out + "*"); left != nil {
		t.Errorf("left %v", left)
	}
}

// Whatever is drawn: no row is lost or doubled, order stays, no unit is on
// both sides, and both sides have rows.
func TestSplitProperty(t *testing.T) {
	type source struct {
		path    string
		load    string
		records []features.Record
	}
	var sources [5][]source // by run: the same under each load
	for i := range sources {
		for _, load := range []string{"", "50", "100"} {
			run := testRun(fmt.Sprint("r", i))
			run.Load = load
			recs := plausible(2+i*i*i, uint64(i))
			sources[i] = append(sources[i], source{writeFile(t, run, recs), load, recs})
		}
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		by := rapid.SampledFrom([]Unit{ByRun, ByLoad, ByTime}).Draw(rt, "by")
		var paths []string
		var want []features.Record
		loads := map[string]bool{}
		for i := range rapid.IntRange(2, len(sources)).Draw(rt, "runs") {
			from := rapid.SampledFrom(sources[i]).Draw(rt, "load")
			loads[from.load] = true
			want = append(want, from.records...)
			paths = append(paths, from.path)
		}
		s := Split{
			By: by, Fraction: rapid.Float64Range(0.01, 0.99).Draw(rt, "fraction"), Seed: rapid.Uint64().Draw(rt, "seed"),
			Train: filepath.Join(dir, "train"), Holdout: filepath.Join(dir, "holdout"),
		}
		os.Remove(s.Train)
		os.Remove(s.Holdout)
		p, err := s.Write(context.Background(), paths...)
		if by == ByLoad && len(loads) < 2 {
			if err == nil {
				rt.Fatal("one load was split by load")
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		trainMeta, train := readFile(t, s.Train)
		heldMeta, held := readFile(t, s.Holdout)
		if p.Train != int64(len(train)) || p.Holdout != int64(len(held)) || len(train) == 0 || len(held) == 0 {
			rt.Fatalf("%d and %d rows, said %+v", len(train), len(held), p)
		}
		checkSides(rt, by, train, held)
		if by != ByTime && len(trainMeta.Runs)+len(heldMeta.Runs) != len(paths) {
			rt.Fatalf("runs %d and %d of %d", len(trainMeta.Runs), len(heldMeta.Runs), len(paths))
		}
		got := append(records(train), records(held)...)
		sortRecords(got)
		sortRecords(want)
		if !reflect.DeepEqual(got, want) {
			rt.Fatal("the rows are not those that went in")
		}
	})
}

func sortRecords(recs []features.Record) {
	slices.SortFunc(recs, func(a, b features.Record) int {
		return strings.Compare(fmt.Sprint(a.Time, a.Delta, a.TID), fmt.Sprint(b.Time, b.Delta, b.TID))
	})
}

func checkSides(rt *rapid.T, by Unit, train, held []Row) {
	last := map[string]int64{} // of each unit in train: its latest time
	unit := func(r *Row) string { return (&Split{By: by}).unit(r.Run) }
	for i := range train {
		last[unit(&train[i])] = max(last[unit(&train[i])], train[i].Time)
	}
	for i := range held {
		t, both := last[unit(&held[i])]
		switch {
		case by != ByTime && both:
			rt.Fatalf("%s %q is on both sides", by, unit(&held[i]))
		case by == ByTime && held[i].Time < t:
			rt.Fatalf("a held out row of run %q is older than one to train on", unit(&held[i]))
		}
	}
}

func TestSplitDeterministic(t *testing.T) {
	held := map[string]bool{}
	for seed := range uint64(6) {
		var first Parts
		for again := range 2 {
			dir := t.TempDir()
			s := Split{By: ByRun, Fraction: 0.3, Seed: seed, Train: filepath.Join(dir, "t"), Holdout: filepath.Join(dir, "h")}
			p, err := s.Write(t.Context(), samplePath("a"), samplePath("b"), samplePath("newer"))
			if err != nil {
				t.Fatal(err)
			}
			if again == 0 {
				first = p
			} else if !reflect.DeepEqual(p, first) {
				t.Errorf("seed %d: %+v, then %+v", seed, first, p)
			}
		}
		held[strings.Join(first.Held, " ")] = true
	}
	if len(held) < 2 {
		t.Errorf("every seed holds out the same: %v", held)
	}
}

func TestCSVGolden(t *testing.T) {
	for _, tc := range []struct {
		golden string
		set    *features.Set
	}{{"a.csv", nil}, {"a.locality17.csv", locality17(t)}} {
		var b bytes.Buffer
		if err := ExportCSV(t.Context(), &b, tc.set, samplePath("a")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", tc.golden)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%.2000s", tc.golden, diff)
		}
	}
}

func cfs(d *features.Decision) bool { return scheduler.CFS{}.Decide(d).Migrate }

func TestCheckFindsPlanted(t *testing.T) {
	var b bytes.Buffer
	explained := 0
	explain := func(r *Row) string { // the first of the newer kernel
		if explained++; strings.HasPrefix(r.Run.Kernel, "7.") && explained == 3 {
			return "because"
		}
		return ""
	}
	v, err := Check(t.Context(), &b, cfs, explain, 1, samplePath("a"), samplePath("planted"), samplePath("newer"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Tally{{"6.12.48+deb13-amd64", 184, 2, 2}, {"7.2.1+deb14-cloud-amd64", 74, 2, 1}}
	if diff := cmp.Diff(want, v.Kernels); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := strings.Count(b.String(), " row "); n != 1 || !strings.HasPrefix(b.String(), "testdata/planted.parquet row 7: kernel ") {
		t.Errorf("%d disagreements printed:\n%s", n, b.String())
	}
	var sum int64
	for _, c := range v.Classes {
		sum += c.Count
	}
	if sum != 4 || !slices.ContainsFunc(v.Classes, func(c Class) bool { return strings.HasSuffix(c.Name, ": because") }) {
		t.Errorf("classes count %d disagreements: %+v", sum, v.Classes)
	}
}

func TestLoad(t *testing.T) {
	set := locality17(t)
	data, runs, err := Load(t.Context(), set, samplePath("a"), samplePath("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Check(); err != nil {
		t.Fatal(err)
	}
	want := &mlp.Data{Set: set}
	for g, s := range samples[:2] {
		for i := range s.records {
			if r := &s.records[i]; r.Condition == features.Passed {
				want.Append(&r.Decision, label(&Row{Record: *r}), int32(g))
			}
		}
	}
	if !reflect.DeepEqual(data, want) {
		t.Error("not the features of the records")
	}
	if len(runs) != 2 || runs[0].ID != "a" || runs[1].ID != "b" {
		t.Errorf("runs %+v", runs)
	}
}

func TestSummarize(t *testing.T) {
	set := locality17(t)
	s, err := Summarize(t.Context(), set, samplePath("a"), samplePath("b"))
	if err != nil {
		t.Fatal(err)
	}
	vectors := map[features.Vector]bool{}
	var want Labels
	for i := range samples[:2] {
		for j := range samples[i].records {
			r := &Row{Record: samples[i].records[j]}
			want.add(r)
			if r.Usable() {
				var v features.Vector
				set.Fill(&v, &r.Decision)
				vectors[v] = true
			}
		}
	}
	if s.Total != want || want.Stay+want.Migrate != want.Usable || want.Stay == 0 {
		t.Errorf("total %+v, want %+v", s.Total, want)
	}
	if s.Distinct != int64(len(vectors)) || s.Both != 0 || !s.Exact {
		t.Errorf("%d distinct, %d ambiguous, want %d, 0", s.Distinct, s.Both, len(vectors))
	}
	for _, group := range [][]Labels{s.ByRun, s.ByLoad, s.ByTag, s.ByKernel, s.ByDomain, s.Conditions} {
		var sum Labels
		for _, l := range group {
			sum = Labels{"", sum.Rows + l.Rows, sum.Usable + l.Usable, sum.Stay + l.Stay, sum.Migrate + l.Migrate}
		}
		if sum != want {
			t.Errorf("%+v do not add up", group)
		}
	}
	if len(s.Features) == 0 {
		t.Error("no features")
	}
	for _, f := range s.Features {
		for y, n := range []int64{want.Stay, want.Migrate} {
			var sum int64
			for _, k := range f.Bins[y] {
				sum += k
			}
			if sum != n {
				t.Errorf("%s: %d values drawn of %d", f.Name, sum, n)
			}
		}
	}
	if c := s.Columns[columnNamed(t, "src_cpu")]; *c.Min != 0 || *c.Max != 55 {
		t.Errorf("src_cpu %d .. %d", *c.Min, *c.Max)
	}
}

func columnNamed(t *testing.T, name string) int {
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	if i < 0 {
		t.Fatal(name)
	}
	return i
}

// A vector with both answers is what no network can learn.
func TestAmbiguous(t *testing.T) {
	recs := plausible(1, 1)
	recs[0].Condition = features.Passed
	recs = append(recs, recs[0], recs[0])
	recs[1].Migrate = !recs[1].Migrate
	s, err := Summarize(t.Context(), locality17(t), writeFile(t, testRun("r"), recs))
	if err != nil {
		t.Fatal(err)
	}
	if s.Distinct != 1 || s.Both != 1 {
		t.Errorf("%d distinct, %d ambiguous, want 1, 1", s.Distinct, s.Both)
	}
}

func TestDrawings(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{spark([]int64{0, 1, 50, 100}), " ▁▄█"},
		{spark([]int64{0, 0}), "  "},
		{bar(0.25, 8), "██░░░░░░"},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}
