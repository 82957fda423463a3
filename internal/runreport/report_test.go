// SPDX-License-Identifier: Apache-2.0

package runreport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	want := &Report{Schema: Schema, Mode: "own", Policy: "cfs", Counters: map[string]float64{"ticks": 3}, Asked: map[string]uint64{"llc": 4}, Moved: map[string]uint64{"llc": 1, "machine": 2}}
	o, err := Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Write(o); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if Total(got.Moved) != 3 || !got.Changed() || (&Report{Asked: got.Asked}).Changed() || !(&Report{HeldInPlace: 1}).Changed() {
		t.Error("moves and holds are changes, questions are none")
	}
	if o, err = Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("an old report stays: %v", err)
	}
	o.Abort()
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := Create(t.Context(), filepath.Join(path, "no", "where")); err == nil {
		t.Error("no directory")
	}
	full, err := Create(t.Context(), "/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Write(full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("to a full device: %v", err)
	}
	// What mllb bench reads was there before, under the same names.
	old, err := Parse([]byte(`{"schema":1,"seconds":2,"ticks":3,"missed":1,"asked":{"llc":4},"moved":{"llc":1},"held_in_place":2}`))
	if err != nil || old.Seconds != 2 || Total(old.Asked) != 4 || Total(old.Moved) != 1 || old.HeldInPlace != 2 {
		t.Errorf("of schema 1: %+v, %v", old, err)
	}
	for _, schema := range []string{`{}`, `{"schema":3}`} {
		if _, err := Parse([]byte(schema)); err == nil {
			t.Errorf("%s was read", schema)
		}
	}
	if _, err := Parse([]byte(`{"schema":7}`)); err == nil || !strings.Contains(err.Error(), "schema 7, not 1 to 2") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"moved":{"llc":3}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Parse(b); err == nil && (r.Schema < 1 || r.Schema > Schema) {
			t.Errorf("%q is of schema %d", b, r.Schema)
		}
	})
}
