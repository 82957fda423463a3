// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	want := &Report{Schema: Schema, Mode: "own", Policy: "cfs", Ticks: 3, Asked: map[string]uint64{"llc": 4}, Moved: map[string]uint64{"llc": 1, "machine": 2}}
	if err := want.Write(path); err != nil {
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
	if err := Prepare(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("an old report stays: %v", err)
	}
	if err := Prepare(path); err != nil {
		t.Errorf("without an old one: %v", err)
	}
	if err := Prepare(filepath.Join(path, "no", "where")); err == nil {
		t.Error("no directory")
	}
	if err := want.Write(filepath.Join(path, "no", "where")); err == nil {
		t.Error("written nowhere")
	}
	if _, err := Parse([]byte(`{"schema":7}`)); err == nil || !strings.Contains(err.Error(), "schema 7, not 1") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"moved":{"llc":3}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Parse(b); err == nil && r.Schema != Schema {
			t.Errorf("%q is of schema %d", b, r.Schema)
		}
	})
}
