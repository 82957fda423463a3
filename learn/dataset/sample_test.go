// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"mllb/features"
)

var update = flag.Bool("update", false, "rewrite testdata/*.parquet and *.csv")

// The samples of testdata: what the tests of cmd/mllb read, and a witness that
// files of every schema version stay readable. Of an older one no program writes
// more: -update leaves them.
var samples = []struct {
	name    string
	schema  int
	run     Run
	records []features.Record
}{
	{"a", 1, sampleRun("a", "50", "paper", "6.12.48+deb13-amd64"), plausible(120, 11)},
	{"b", 1, sampleRun("b", "100", "nice", "6.12.48+deb13-amd64"), plausible(100, 12)},
	{"planted", 1, sampleRun("planted", "100", "paper", "6.12.48+deb13-amd64"), planted(80, 13)},
	{"newer", 1, sampleRun("newer", "200", "paper", "7.2.1+deb14-cloud-amd64"), planted(80, 14)},
	{"speeds", 2, sampleRun("speeds", "100", "slow", "6.12.48+deb13-amd64"), withSpeeds(plausible(60, 15))},
}

func sampleRun(id, load, tag, kernel string) Run {
	r := testRun(id)
	r.Load, r.Tag, r.Kernel = load, tag, kernel
	return r
}

// planted has two answers that the rule would not have given.
func planted(n int, seed uint64) []features.Record {
	recs := plausible(n, seed)
	flipped := 0
	for i := range recs {
		if recs[i].Condition == features.Passed && i >= 7 && flipped < 2 {
			recs[i].Migrate = !recs[i].Migrate
			flipped++
		}
	}
	return recs
}

// withSpeeds has every other CPU run at half speed, and every third beside a busy sibling.
func withSpeeds(recs []features.Record) []features.Record {
	worth := func(cpu int32) (speed uint32, siblings uint8) {
		return features.FullSpeed >> (cpu % 2), uint8(1 - min(cpu%3, 1))
	}
	for i := range recs {
		d := &recs[i].Decision
		d.SrcSpeed, d.SrcBusySiblings = worth(d.SrcCPU)
		d.DstSpeed, d.DstBusySiblings = worth(d.DstCPU)
	}
	return recs
}

func samplePath(name string) string { return filepath.Join("testdata", name+".parquet") }

func TestSamples(t *testing.T) {
	for _, s := range samples {
		if *update && s.schema == SchemaVersion {
			os.Remove(samplePath(s.name))
			if err := os.Rename(writeFile(t, s.run, s.records), samplePath(s.name)); err != nil {
				t.Fatal(err)
			}
		}
		meta, rows := readFile(t, samplePath(s.name))
		if got := records(rows); !reflect.DeepEqual(got, s.records) {
			t.Errorf("%s: reads differently than it was written", s.name)
		}
		if !reflect.DeepEqual(meta.Runs, []Run{s.run}) {
			t.Errorf("%s: run is %+v", s.name, meta.Runs)
		}
		r, err := Open(samplePath(s.name))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := parseVersion(r.pq.Lookup); err != nil || v != s.schema {
			t.Errorf("%s: schema version %d, %v, want %d", s.name, v, err, s.schema)
		}
		r.Close()
	}
}

func sampleBytes(t testing.TB, name string) []byte {
	b, err := os.ReadFile(samplePath(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drain reads all rows of a file in memory, and returns the first error.
func drain(r *Reader) (n int, err error) {
	for _, err := range r.Rows() {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func openBytes(b []byte) (*Reader, error) { return newReader("x", readerAt(b), int64(len(b))) }

type readerAt []byte

func (b readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
