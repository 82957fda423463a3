// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"mllb/features"
)

// Files of both schemas together, where neither is a special case: what the older
// lacks is 0.
func TestMixedSchemas(t *testing.T) {
	old, recent := samples[0], samples[4]
	paths := []string{samplePath(old.name), samplePath(recent.name)}
	t.Run("split", func(t *testing.T) {
		dir := t.TempDir()
		s := Split{By: ByRun, Fraction: 0.1, Train: filepath.Join(dir, "t"), Holdout: filepath.Join(dir, "h")}
		if _, err := s.Write(t.Context(), paths...); err != nil {
			t.Fatal(err)
		}
		_, train := readFile(t, s.Train)
		_, held := readFile(t, s.Holdout)
		got, all := append(records(train), records(held)...), slices.Concat(old.records, recent.records)
		sortRecords(got)
		sortRecords(all)
		if !reflect.DeepEqual(got, all) {
			t.Error("the rows are not those that went in")
		}
	})
	t.Run("export", func(t *testing.T) {
		var b bytes.Buffer
		if err := ExportCSV(t.Context(), &b, nil, paths...); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		n := len(lines[0])
		got := [][]string{lines[0][n-4:], lines[1][n-4:], lines[1+len(old.records)][n-4:]}
		d := recent.records[0].Decision
		worth := []string{fmt.Sprint(d.SrcSpeed), fmt.Sprint(d.DstSpeed), fmt.Sprint(d.SrcBusySiblings), fmt.Sprint(d.DstBusySiblings)}
		want := [][]string{{"src_speed", "dst_speed", "src_busy_siblings", "dst_busy_siblings"}, {"0", "0", "0", "0"}, worth}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("check", func(t *testing.T) {
		v, err := Check(t.Context(), io.Discard, cfs, func(*Row) string { return "" }, 0, paths...)
		if err != nil || v.Rows != int64(len(old.records)+len(recent.records)) || v.Kernels[0].Disagree != 0 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// What an older program left of a killed collection is repaired by this one.
func TestRepairOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.Mkdir(partsOf(path), 0o755); err != nil {
		t.Fatal(err)
	}
	all := withSpeeds(plausible(9, 16))
	run := sampleRun("a", "50", "paper", "6.12.48+deb13-amd64")
	for i, from := range []string{samplePath("a"), writeFile(t, run, all)} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(partsOf(path), fmt.Sprintf("%06d.parquet", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := Repair(path)
	if err != nil || h != (Repaired{Segments: 2, Rows: 129}) {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, rows := readFile(t, path); !reflect.DeepEqual(records(rows), slices.Concat(samples[0].records, all)) {
		t.Error("the rows are not those of the segments")
	}
}

// An older file reads as it was written, and says nothing of speed.
func TestOlderRowsHaveNoSpeed(t *testing.T) {
	var rows []parquet.Row
	run := testRun("r")
	for _, rec := range withSpeeds(plausible(3, 1)) {
		row, err := appendRow(nil, &Row{Record: rec, Run: &run})
		if err != nil {
			t.Fatal(err)
		}
		last := len(columnsOf(1))
		rows = append(rows, slices.DeleteFunc(row, func(v parquet.Value) bool { return v.Column() >= last }))
	}
	older := encode(t, schemaOf(fieldsOf(columnsOf(1))), &zstd.Codec{}, rows, func(kv map[string]string) { kv[keySchema] = "1" })
	r, err := openBytes(older)
	if err != nil {
		t.Fatal(err)
	}
	var got []features.Record
	for row, err := range r.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, clone(row).Record)
	}
	if diff := cmp.Diff(plausible(3, 1), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExplainTellsSpeed(t *testing.T) {
	recs := plausible(1, 1)
	r := &Row{Record: recs[0], Run: &Run{}}
	if text := Explain(r); strings.Contains(text, "speed") {
		t.Errorf("of a record without:\n%s", text)
	}
	r.DstSpeed, r.SrcBusySiblings = 512, 3
	want := "  speed of the source 0, of the destination 512 (1024 fastest, 0 not known); busy siblings 3 and 0\n"
	if text := Explain(r); !strings.Contains(text, want) {
		t.Errorf("want %q in:\n%s", want, text)
	}
}

// columnsOf goes by the order of the table.
func TestColumnsAreOrderedBySchema(t *testing.T) {
	if !slices.IsSortedFunc(columns, func(a, b column) int { return a.since - b.since }) {
		t.Error("a column is before one of an older schema")
	}
	if n := len(columns) - len(columnsOf(1)); n != 4 || len(columnsOf(SchemaVersion)) != len(columns) {
		t.Errorf("%d columns are new since schema 1, want 4", n)
	}
}
