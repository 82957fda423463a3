// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envWriter makes the test program write rows into this file until it is
// killed. It prints, after each call of Write, how many rows it has given away.
const envWriter = "MLLB_DATASET_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(envWriter); path != "" {
		fmt.Println(writeForever(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeForever(path string) error {
	w, err := Create(path, Meta{Runs: []Run{testRun("crash")}})
	if err != nil {
		return err
	}
	for seed := uint64(0); ; seed++ {
		if err := w.Write(plausible(777, seed)); err != nil {
			return err
		}
		w.SetCounters(Counters{Calls: uint64(w.Rows()), Records: uint64(w.Rows())})
		fmt.Println(w.Rows())
	}
}

// killed runs a writer, kills it once it has given away so many rows and a
// moment more, and returns how many it had.
func killed(t *testing.T, path string, rows int64, after time.Duration) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWriter+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var n int64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		if n >= rows {
			break
		}
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		n, _ = strconv.ParseInt(lines.Text(), 10, 64)
	}
	_ = cmd.Wait() // killed, as it should be
	return n
}

func TestKilled(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		path := filepath.Join(t.TempDir(), "f")
		gave := killed(t, path, int64(round)*7000, time.Duration(round*13)*time.Millisecond)
		if _, err := Open(path); !errors.Is(err, ErrUnfinished) {
			t.Fatalf("open before repair: %v", err)
		}
		h, err := Repair(path)
		if err != nil {
			t.Fatal(err)
		}
		meta, rows := readFile(t, path)
		if int64(len(rows)) != h.Rows || h.Torn != 0 || !meta.Runs[0].CutShort {
			t.Errorf("%d rows, repair said %+v, run %+v", len(rows), h, meta.Runs[0])
		}
		if lost := gave - h.Rows; lost > segmentRows {
			t.Errorf("%d rows of %d are lost, more than a segment", lost, gave)
		}
		for i := range rows {
			seed, k := i/777, i%777
			if k == 0 && !slices.Equal([]int64{plausible(1, uint64(seed))[0].Time}, []int64{rows[i].Time}) {
				t.Fatalf("row %d is not the one that was written", i)
			}
		}
		t.Logf("killed after %d rows: %d repaired", gave, h.Rows)
		if h, err := Repair(path); err != nil || h != (Repaired{}) {
			t.Errorf("repaired again: %+v, %v", h, err)
		}
	}
}

// unfinishedFile leaves what a killed writer leaves: three segments with 0, 10 and
// 10 rows, and one being written.
func unfinishedFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, Meta{Runs: []Run{testRun("r")}})
	if err != nil {
		t.Fatal(err)
	}
	recs := plausible(25, 1)
	for i := range 2 {
		if err := w.Write(recs[10*i : 10*i+10]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(recs[20:]); err != nil {
		t.Fatal(err)
	}
	w.lock.Close() // as the kernel does
	return path
}

// After a power failure a segment may be damaged too.
func TestRepairTorn(t *testing.T) {
	segment := func(path string, n int) string { return filepath.Join(partsOf(path), fmt.Sprintf("%06d.parquet", n)) }
	cut := func(t *testing.T, name string, size int64) {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		tear func(t *testing.T, path string)
		want Repaired
	}{
		{"nothing", func(*testing.T, string) {}, Repaired{Segments: 3, Rows: 20}},
		{"last cut", func(t *testing.T, path string) { cut(t, segment(path, 2), 2000) }, Repaired{Segments: 2, Torn: 1, Rows: 10}},
		{"last empty", func(t *testing.T, path string) { cut(t, segment(path, 2), 0) }, Repaired{Segments: 2, Torn: 1, Rows: 10}},
		{"last zeroed within", func(t *testing.T, path string) {
			b, err := os.ReadFile(segment(path, 2))
			if err != nil {
				t.Fatal(err)
			}
			clear(b[4:1500])
			if err := os.WriteFile(segment(path, 2), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}, Repaired{Segments: 2, Torn: 1, Rows: 10}},
		{"first cut", func(t *testing.T, path string) { cut(t, segment(path, 0), 5) }, Repaired{Segments: 2, Torn: 1, Rows: 20}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := unfinishedFile(t)
			tc.tear(t, path)
			h, err := Repair(path)
			if err != nil || h != tc.want {
				t.Fatalf("%+v, %v, want %+v", h, err, tc.want)
			}
			_, rows := readFile(t, path)
			if want := plausible(25, 1)[:tc.want.Rows]; !reflect.DeepEqual(records(rows), want) {
				t.Error("not the rows that were written first")
			}
			if _, err := os.Stat(partsOf(path)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the parts are left: %v", err)
			}
		})
	}
}

func TestRepairNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := Repair(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.Mkdir(partsOf(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(path); err == nil || !strings.Contains(err.Error(), "has no segment that can be read") {
		t.Errorf("no segments: %v", err)
	}
}

// Killed between the last two steps of Close: the file is whole.
func TestRepairWhole(t *testing.T) {
	path := writeFile(t, testRun("r"), plausible(5, 1))
	if err := os.Mkdir(partsOf(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrUnfinished) {
		t.Errorf("open: %v", err)
	}
	if h, err := Repair(path); err != nil || h.Rows != 5 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, rows := readFile(t, path); len(rows) != 5 {
		t.Errorf("%d rows", len(rows))
	}
}
