// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
)

// goodStat is of Linux 6.12; the name is as bad as a name can be.
const goodStat = "7601 (a) R (c\nd) S 7557 7550 6385 0 -1 4194304 100 0 0 0 40 2 0 0 30 -5 3 0 214416 3133440 390 " +
	"18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 6 0 3 0 0 0 0 0 0 0 0 0 0 0\n"

// wantError checks that a parser refused its input and said where.
func wantError(t *testing.T, text string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: err = %v, want one with %q", text, err, want)
	}
}

func TestParseStat(t *testing.T) {
	var got Stat
	if err := got.Parse([]byte(goodStat)); err != nil {
		t.Fatal(err)
	}
	want := Stat{
		ID: 7601, Comm: []byte("a) R (c\nd"), State: 'S', PPID: 7557, Session: 6385, Flags: 4194304, UTime: 40, STime: 2,
		Nice: -5, Threads: 3, Start: 214416, CPU: 6, Policy: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var gone Stat
	if err := gone.Parse([]byte(strings.Replace(goodStat, " 6385 ", " -1 ", 1))); err != nil || gone.Session != -1 {
		t.Errorf("a thread on its way out: session %d, %v", gone.Session, err)
	}
}

func TestParseStatMalformed(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(goodStat, old, with, 1) }
	for _, tt := range []struct{ text, want string }{
		{"", "field 2 (comm)"},
		{"7601 S 1 2 3", "field 2 (comm)"},
		{"1 )x(", "field 2 (comm)"},
		{"x (a) S", "field 1 (pid)"},
		{"99999999999 (a) S", "field 1 (pid)"},
		{"1 (x)", "field 3 (state)"},
		{"1 (x) RR 1", "field 3 (state)"},
		{"1 (x) R", "field 4 (ppid)"},
		{replace("7557", "one"), "field 4 (ppid)"},
		{replace("7557", "99999999999"), "field 4 (ppid)"},
		{replace("6385", "-x"), "field 6 (session)"},
		{replace("4194304", "-4194304"), "field 9 (flags)"},
		{replace(" 40 2 ", " 40.5 2 "), "field 14 (utime)"},
		{replace(" 40 2 ", " 40 -2 "), "field 15 (stime)"},
		{replace(" -5 3 ", " 200 3 "), "field 19 (nice)"},
		{replace(" -5 3 ", " -5 x "), "field 20 (num_threads)"},
		{replace("214416", "99999999999999999999"), "field 22 (starttime)"},
		{goodStat[:strings.Index(goodStat, "17 6")], "field 39 (processor)"},
		{replace("17 6 0 3", "17 6 0 256"), "field 41 (policy)"},
	} {
		wantError(t, tt.text, new(Stat).Parse([]byte(tt.text)), tt.want)
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte(goodStat))
	f.Add([]byte("1 (x)"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stat
		if s.Parse(b) == nil && (s.State == 0 || !bytes.Contains(b, s.Comm)) {
			t.Errorf("%q: %+v", b, s)
		}
	})
}

// FuzzStatName puts any name into a line and expects it back, and all the rest.
func FuzzStatName(f *testing.F) {
	for _, name := range []string{"", "a b", ") S 1 2", "(", "\n"} {
		f.Add([]byte(name))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		_, rest, _ := strings.Cut(goodStat, "\nd)")
		var s Stat
		err := s.Parse([]byte("1 (" + string(name) + ")" + rest))
		if err != nil || !bytes.Equal(s.Comm, name) || s.State != 'S' || s.Start != 214416 {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	})
}

// TestReadStat holds what is read of this process against prometheus/procfs.
func TestReadStat(t *testing.T) {
	p, err := procfs.Self()
	if err != nil {
		t.Skip(err)
	}
	want, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadStat("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{int(s.ID), string(s.Comm), int(s.PPID), int(s.Session), int(s.Nice), s.Start, uint(s.Policy)}
	wanted := []any{want.PID, want.Comm, want.PPID, want.Session, want.Nice, want.Starttime, want.Policy}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("(-procfs +ours):\n%s", diff)
	}
	dir := t.TempDir()
	if _, err := ReadStat(dir); !os.IsNotExist(err) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte("1 (x) R"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = ReadStat(dir)
	wantError(t, "1 (x) R", err, dir+"/stat: field 4 (ppid)")
}
