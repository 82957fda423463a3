// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func testHead(c Config) Head {
	return Head{Schema: Schema, Digest: c.Digest(), Version: "test", Started: time.Date(2020, 8, 24, 10, 0, 0, 0, time.UTC), Config: c,
		Machine: Machine{Host: "h", Kernel: "6.12", Topology: "2 CPUs"}}
}

func open(t *testing.T, dir string, c Config) *store {
	t.Helper()
	s, err := openStore(dir, testHead(c), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func TestStoreGoesOn(t *testing.T) {
	dir, c := t.TempDir(), newConfig(2, 1, 2, 0, 1)
	s := open(t, dir, c)
	slots := c.Slots()
	for _, slot := range slots[:2] {
		if err := s.append(Record{Slot: slot, Usage: Usage{Wall: 1.5}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openStore(dir, testHead(c), false); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second one at work there: %v", err)
	}
	s.close()
	c.Runs = 5
	busy := testHead(c)
	busy.Notes = []string{"others are at work here"}
	for range 2 {
		s, err := openStore(dir, busy, false)
		if err != nil || len(s.Head.Notes) != 1 || s.Head.Notes[0] != "when it was resumed: others are at work here" {
			t.Fatalf("%v, %+v", err, s)
		}
		s.close()
	}
	s = open(t, dir, c)
	if len(s.Records) != 2 || s.Records[1].Slot != slots[1] || s.Head.Config.Runs != 5 || s.Torn {
		t.Errorf("%+v", s)
	}
}

// A crash may leave any part of a line: that run is done again, and what comes after
// it is whole.
func TestStoreTorn(t *testing.T) {
	c := newConfig(2, 1, 3, 0, 1)
	slots := c.Slots()
	dir := t.TempDir()
	s := open(t, dir, c)
	var sizes []int64
	for _, slot := range slots[:2] {
		if err := s.append(Record{Slot: slot, Usage: Usage{Wall: 1}}); err != nil {
			t.Fatal(err)
		}
		st, err := s.runs.Stat()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, st.Size())
	}
	s.close()
	path := filepath.Join(dir, runsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := sizes[0]; cut < sizes[1]; cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, c)
		if len(s.Records) != 1 || s.Torn != (cut > sizes[0]) {
			t.Fatalf("cut at %d: %d records, torn %v", cut, len(s.Records), s.Torn)
		}
		if err := s.append(Record{Slot: slots[1], Usage: Usage{Wall: 1}}); err != nil {
			t.Fatal(err)
		}
		s.close()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("cut at %d: %v\n%s", cut, err, cmp.Diff(string(whole), string(got)))
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	dir, c := t.TempDir(), newConfig(2, 1, 2, 0, 1)
	open(t, dir, c).close()
	other := newConfig(2, 1, 2, 0, 2)
	for _, tt := range []struct {
		head Head
		want string
	}{
		{testHead(other), "was started with a different seed: 1, now 2"},
		{func() Head { c := c; c.Steady = 15; return testHead(c) }(), "was started with a different --steady: 0, now 15"},
		{func() Head { h := testHead(c); h.Machine.Kernel = "6.1"; return h }(), "was started on h, Linux 6.12, 2 CPUs; this is h, Linux 6.1,"},
	} {
		if _, err := openStore(dir, tt.head, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"{}\n{\n":            "line 2: unexpected end",
		"{}\n{}\n":           "line 2: warm-up, ,  is recorded twice",
		"{\"wall_seconds\":": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, runsFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(dir, testHead(c), false)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err == nil {
			s.close()
		}
	}
	if err := os.WriteFile(filepath.Join(dir, headFile), []byte(`{"schema":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir, testHead(c), false); err == nil || !strings.Contains(err.Error(), "schema 99, want 1") {
		t.Error(err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no results of mllb bench") {
		t.Error(err)
	}
}

// FuzzParseRecords: what is read as whole can be cut there and read again the same.
func FuzzParseRecords(f *testing.F) {
	f.Add([]byte("{\"round\":1,\"arm\":\"a\"}\n{\"round\":2}\n{\"rou"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, whole, err := parseRecords(b)
		if err != nil {
			return
		}
		again, n, err := parseRecords(b[:whole])
		if err != nil || n != whole || len(again) != len(records) {
			t.Errorf("%d records in %d bytes; again %d in %d, %v", len(records), whole, len(again), n, err)
		}
	})
}
