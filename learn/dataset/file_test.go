// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"mllb/features"
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		want := rapid.SliceOfN(genRecord, 0, 20).Draw(rt, "records")
		path := filepath.Join(dir, strings.Repeat("x", 1+n%7), "f.parquet")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			rt.Fatal(err)
		}
		os.Remove(path)
		w, err := Create(path, Meta{Runs: []Run{{ID: "r"}}})
		if err != nil {
			rt.Fatal(err)
		}
		for i := range want { // one by one, in groups that Write does not see
			if err := w.Write(want[i : i+1]); err != nil {
				rt.Fatal(err)
			}
			if i%8 == 7 {
				if err := w.Flush(); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		_, rows := readFile(t, path)
		if diff := cmp.Diff(want, records(rows), cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("read differs from written (-want +got):\n%s", diff)
		}
	})
}

// More rows than a row group, a segment and a batch have, and the NUMA pointer.
func TestManyRows(t *testing.T) {
	want := plausible(segmentRows*2+17, 1)
	_, rows := readFile(t, writeFile(t, testRun("many"), want))
	if got := records(rows); !reflect.DeepEqual(got, want) { // cmp takes seconds
		t.Errorf("read differs from written (-want +got):\n%.2000s", cmp.Diff(want, got))
	}
	if rows[0].NUMA == nil || rows[0].NUMA != rows[0].Run.NUMA {
		t.Error("the decision does not know its nodes")
	}
}

func TestMetaRoundTrip(t *testing.T) {
	run := testRun("meta")
	meta, rows := readFile(t, writeFile(t, run, plausible(3, 1)))
	want := Meta{CreatedBy: "test", FeatureSets: []string{"paper15", "locality17"}, Runs: []Run{run}}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows[2].Run.Tag != "paper" || rows[2].Run.Load != "100" {
		t.Errorf("row's run is %+v", rows[2].Run)
	}
}

func TestCounters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, Meta{Runs: []Run{testRun("r")}})
	if err != nil {
		t.Fatal(err)
	}
	want := Counters{Calls: 10, Records: 6, Filtered: 3, Drops: 1}
	w.SetCounters(want)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	meta, _ := readFile(t, path)
	if got := meta.Runs[0].Counters; got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	if meta.Runs[0].CutShort {
		t.Error("cut short")
	}
}

func TestCreateRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	one := Meta{Runs: []Run{{ID: "r"}}}
	w, err := Create(path, one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, one); !errors.Is(err, ErrUnfinished) {
		t.Errorf("while it grows: %v", err)
	}
	if _, err := Repair(path); err == nil || !strings.Contains(err.Error(), "is still being recorded") {
		t.Errorf("repair while it grows: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, one); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once it is there: %v", err)
	}
	if _, err := Create(path+"2", Meta{}); err == nil {
		t.Error("no run: no error")
	}
	if _, err := Create(path+"2", Meta{Runs: []Run{{ID: strings.Repeat("x", 1000)}}}); err == nil {
		t.Error("long id: no error")
	}
	if _, err := os.Stat(path + "2.parts"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused file left its parts: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, tc := range []struct {
		want   string
		change func(r *features.Record)
	}{
		{"row 1: column src_cpu: -1 is not in 0..8191", func(r *features.Record) { r.SrcCPU = -1 }},
		{"row 1: column preferred_node: 1024 is not in -1..1023", func(r *features.Record) { r.PreferredNode = 1024 }},
		{"row 1: column nice: 20 is not in -20..19", func(r *features.Record) { r.Nice = 20 }},
		{"row 1: column condition: 12 has no name", func(r *features.Record) { r.Condition = features.NumConditions }},
		{"row 1: domain flags 0x80 are not defined", func(r *features.Record) { r.Domain = 0x80 }},
		{"row 1: column task_faults: 1025 nodes, more than 1024", func(r *features.Record) { r.TaskFaults = make([]uint64, 1025) }},
	} {
		path := filepath.Join(t.TempDir(), "f")
		w, err := Create(path, Meta{Runs: []Run{{ID: "r"}}})
		if err != nil {
			t.Fatal(err)
		}
		recs := plausible(3, 1)
		tc.change(&recs[1])
		if err := w.Write(recs); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
		if err := w.Write(recs[2:]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, rows := readFile(t, path); len(rows) != 2 {
			t.Errorf("%d rows are left, want 2", len(rows))
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "stress-ng": "stress-ng", "größe": "größe", `a\b`: `a\x5cb`, "\xff!": `\xff!`, "0123456789abcde\xc3": `0123456789abcde\xc3`,
	} {
		var comm, back [16]byte
		copy(comm[:], in)
		got := string(escape(&comm))
		if got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
		if err := unescape(&back, []byte(got)); err != nil || back != comm {
			t.Errorf("unescape(%q) = %q, %v", got, back, err)
		}
	}
	for _, bad := range []string{`\`, `\x`, `\x0`, `\xzz`, `\n01`, "a\x00b", "12345678901234567", `\x00`} {
		if err := unescape(new([16]byte), []byte(bad)); err == nil {
			t.Errorf("unescape(%q): no error", bad)
		}
	}
}

// The corpus has to pack to 48 bytes a row (24 MB for 500,000).
func TestSize(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	info, err := os.Stat(writeFile(t, testRun("size"), plausible(n, 3)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows: %.1f bytes a row", n, float64(info.Size())/float64(n))
	if limit := int64(n)*48 + 16<<10; info.Size() > limit {
		t.Errorf("%d bytes, more than %d", info.Size(), limit)
	}
}
