// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mllb/features"
	"mllb/features/trace"
	display "mllb/internal/progress"
	"mllb/learn/dataset"
)

// fakeTracer has made n calls once it is stopped; some are lost.
type fakeTracer struct {
	batches  [][]features.Record // what each Read finds
	left     []features.Record   // found after Stop
	counters trace.Counters
	err      error
	stopped  bool
}

func (f *fakeTracer) Read(recs []features.Record, limit int) ([]features.Record, error) {
	if f.stopped {
		recs = append(recs, f.left...)
		f.left = nil
		return recs, nil
	}
	if f.err != nil {
		return recs, f.err
	}
	if len(f.batches) > 0 {
		recs, f.batches = append(recs, f.batches[0]...), f.batches[1:]
	}
	return recs, nil
}

func (f *fakeTracer) Counters() (trace.Counters, error) { return f.counters, nil }
func (f *fakeTracer) Stop() error                       { f.stopped = true; return nil }
func (f *fakeTracer) Contradictions() (n [features.NumConditions]uint64) {
	n[features.Unexplained] = 1
	return n
}

// records makes usable records, the first of them "stay", and one that is not.
func records(n int) []features.Record {
	recs := make([]features.Record, n+1)
	for i := range recs {
		recs[i] = features.Record{Migrate: i > 0, Time: int64(i), Eligible: true, Decision: features.Decision{PreferredNode: features.NoNode}}
	}
	recs[n].Condition = features.OnSourceCPU
	return recs
}

func newCollector(t *testing.T, src decisions, want uint64) (*collector, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.parquet")
	out, err := dataset.Create(path, dataset.Meta{CreatedBy: "test", Runs: []dataset.Run{{Host: "h", Kernel: "k", Topology: "1x1x1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &collector{source: src, out: out, want: want, progress: newProgress(&bytes.Buffer{}, &bytes.Buffer{}, false), start: time.Now()}, path
}

// rows counts what is in the file and returns its run.
func rows(t *testing.T, path string) (n int, run dataset.Run) {
	t.Helper()
	err := dataset.Each(t.Context(), []string{path}, func(_ string, _ int64, r *dataset.Row) error {
		n, run = n+1, *r.Run
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, run
}

func TestCollect(t *testing.T) {
	src := &fakeTracer{
		batches:  [][]features.Record{records(3), nil, records(4), records(99)},
		left:     records(2), // in the ring when the probes come off
		counters: trace.Counters{Calls: 20, Records: 12, Filtered: 5, Full: 3},
	}
	c, path := newCollector(t, src, 7)
	if err := c.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !src.stopped || len(src.batches) != 1 || c.usable() != 9 || c.labels != [2]uint64{3, 6} {
		t.Errorf("usable %d, labels %v, %d batches left", c.usable(), c.labels, len(src.batches))
	}
	n, run := rows(t, path)
	if want := (dataset.Counters{Calls: 20, Records: 12, Filtered: 5, Drops: 3}); n != 12 || run.Counters != want {
		t.Errorf("%d rows, %+v", n, run.Counters)
	}
	var b strings.Builder
	c.elapsed = 1500 * time.Millisecond
	if err := c.summary(&b, "out.parquet", "fentry"); err != nil {
		t.Fatal(err)
	}
	const want = `out.parquet: 12 records, 9 usable (stay 3, migrate 6) in 1.5s by fentry
calls 20 = records 12 + filtered 5 + drops 3 (ring full 3, return not seen 0, entry not seen 0)
not usable: on_source_cpu 3
contradictions between the replayed conditions and the kernel's counters: unexplained 1
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// TestCollectEnds checks that each way to end leaves a whole file, and that
// calls that do not add up are an error nevertheless.
func TestCollectEnds(t *testing.T) {
	broken := errors.New("record of 3 bytes")
	for _, tt := range []struct {
		name     string
		counters trace.Counters
		err      error
		want     string
	}{
		{"interrupted", trace.Counters{Calls: 4, Records: 4}, nil, ""},
		{"calls do not add up", trace.Counters{Calls: 5, Records: 4}, nil, "5 calls are not 4 records"},
		{"records were not read", trace.Counters{Calls: 5, Records: 5}, nil, "recorded 5 calls, 4 were read"},
		{"a record is malformed", trace.Counters{Calls: 4, Records: 4}, broken, "record of 3 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &fakeTracer{left: records(3), counters: tt.counters, err: tt.err}
			c, path := newCollector(t, src, 0)
			ctx, cancel := context.WithCancel(t.Context())
			if tt.err == nil {
				cancel()
			}
			defer cancel()
			err := c.collect(ctx)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if n, _ := rows(t, path); n != 4 {
				t.Errorf("%d rows, want 4", n)
			}
		})
	}
}

func TestState(t *testing.T) {
	c := &collector{want: 200, duration: 10 * time.Second, labels: [2]uint64{1, 49}}
	c.by[features.Passed], c.by[features.OnSourceCPU] = 50, 5
	c.counters.Full = 2
	for up, want := range map[time.Duration]display.State{
		time.Second:      {Share: 0.25, Doing: "50 usable of 55, 12/s, stay 2.00 %, drops 2, 1s"},
		5 * time.Second:  {Share: 0.5, Doing: "50 usable of 55, 12/s, stay 2.00 %, drops 2, 5s"},
		99 * time.Second: {Share: 9.9, Doing: "50 usable of 55, 12/s, stay 2.00 %, drops 2, 1m39s"},
	} {
		if got := c.state(12.3, up); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	want := display.State{Share: display.Endless, Doing: "0 usable of 0, 0/s, stay -, drops 0, 0s"}
	if got := (&collector{}).state(0, 0); got != want {
		t.Errorf("without an end: %+v", got)
	}
}

// TestCollectHere runs the whole command where the kernel allows it; where it
// does not, the refusal is one line and leaves no file.
func TestCollectHere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.parquet")
	var stdout, stderr bytes.Buffer
	failed := Run(t.Context(), Options{Out: path, Duration: 200 * time.Millisecond, Trace: trace.Options{AllDomains: true}, CreatedBy: "test", Run: dataset.Run{Tag: "here"}}, &stdout, &stderr)
	tracer, err := trace.Open(trace.Options{})
	if err != nil {
		if failed == nil || strings.Contains(failed.Error(), "\n") || stdout.Len()+stderr.Len() > 0 {
			t.Errorf("%v, %s%s", failed, &stdout, &stderr)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file was left: %v", err)
		}
		t.Skipf("not traced here: %v", err)
	}
	tracer.Close()
	if failed != nil || !strings.Contains(stdout.String(), "\ncalls ") {
		t.Errorf("%v, %s%s", failed, &stdout, &stderr)
	}
	if _, run := rows(t, path); run.Tag != "here" && run.Tag != "" {
		t.Errorf("%+v", run)
	}
}

// TestLossy wants a writer that nobody reads to hold up nobody, neither what is
// written nor the end.
func TestLossy(t *testing.T) {
	r, w := io.Pipe()
	l, flush := newLossy(w)
	for range 100 {
		if n, err := l.Write([]byte("progress\n")); n != 9 || err != nil {
			t.Fatal(n, err)
		}
	}
	flush()
	r.Close()
	var b bytes.Buffer
	l, flush = newLossy(&b)
	_, _ = l.Write([]byte("last"))
	flush()
	if b.String() != "last" {
		t.Errorf("%q", &b)
	}
}
