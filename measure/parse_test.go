// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	goodStat   = "42 (a) b (c) S 1 42 42 0 -1 4194560 0 0 0 0 12 34 0 0 20 0 1 0 567 0 0 0\n"
	goodStatus = "Name:\tsh\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
)

func TestParseThread(t *testing.T) {
	id, u, err := parseStat(goodStat)
	if err != nil || id != (taskID{42, 567}) || u != (use{utime: 12, stime: 34}) {
		t.Errorf("%+v, %+v, %v", id, u, err)
	}
	for _, text := range []string{"", "42", "42 (a", "x (a) S", "42 (a) S 1 2", strings.Replace(goodStat, " 12 34 ", " 12 x ", 1)} {
		if _, _, err := parseStat(text); err == nil {
			t.Errorf("stat %q was taken", text)
		}
	}
	v, n, err := parseStatus(goodStatus)
	if err != nil || v != 12 || n != 3 {
		t.Errorf("%d, %d, %v", v, n, err)
	}
	for _, text := range []string{"", "Name:\tx\nvoluntary_ctxt_switches:\t1\n", strings.Replace(goodStatus, "\t3", "\t-3", 1)} {
		if _, _, err := parseStatus(text); err == nil {
			t.Errorf("status %q was taken", text)
		}
	}
	if d, err := parseSchedstat("1384000 3684793 4\n"); err != nil || d != 3684793 {
		t.Errorf("%v, %v", d, err)
	}
	for _, text := range []string{"", "1 2", "1 -2 3", "1 x 3"} {
		if _, err := parseSchedstat(text); err == nil {
			t.Errorf("schedstat %q was taken", text)
		}
	}
}

func TestParseHost(t *testing.T) {
	var c counters
	parsers := map[string]func(io.Reader) error{"loadavg": c.parseLoad, "stat": c.parseStat, "vmstat": c.parseVMStat}
	for _, f := range []struct{ name, text string }{
		{"loadavg", "0.25 1.50 12.00 1/80 11206\n"},
		{"stat", "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\n"},
		{"vmstat", "nr_free_pages 1\nnuma_hint_faults 5\nnuma_hint_faults_local 4\nnuma_pages_migrated 3\n"},
	} {
		if err := parsers[f.name](strings.NewReader(f.text)); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	want := counters{load: [3]float64{0.25, 1.5, 12}, idle: 4, steal: 8, numa: true, hintFaults: 5, hintFaultsLocal: 4, pagesMigrated: 3}
	if c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	for _, f := range []struct{ name, text string }{
		{"loadavg", ""}, {"loadavg", "1 2"}, {"loadavg", "1 2 x"}, {"loadavg", "1 2 NaN"}, {"loadavg", "1 -2 3"},
		{"stat", ""}, {"stat", "cpu  1 2 3\n"}, {"stat", "cpu0 1 2 3 4 5 6 7 8 9\n"}, {"stat", "cpu 1 2 3 x 5 6 7 8 9\n"},
		{"vmstat", "numa_hint_faults 5\n"}, {"vmstat", "numa_hint_faults five\n"},
	} {
		if err := parsers[f.name](strings.NewReader(f.text)); err == nil {
			t.Errorf("%s %q was taken", f.name, f.text)
		}
	}
	if err := c.parseVMStat(strings.NewReader("nr_free_pages 1\n")); err != nil || c.numa {
		t.Errorf("a kernel without NUMA balancing: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{goodStat, goodStatus, "1 2 3\n", "0.1 0.2 0.3 1/2 3\n", "cpu  1 2 3 4 5 6 7 8\n", "numa_hint_faults 1\n", "0 t f.part.0\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c counters
		_, _, _ = parseStat(text)
		_, _, _ = parseStatus(text)
		if d, err := parseSchedstat(text); err == nil && d < 0 {
			t.Errorf("a delay of %v", d)
		}
		if err := c.parseLoad(strings.NewReader(text)); err == nil && !(c.load[0] >= 0 && c.load[2] < 1e9) {
			t.Errorf("load %v", c.load)
		}
		_ = c.parseStat(strings.NewReader(text))
		_ = c.parseVMStat(strings.NewReader(text))
		parts, _ := clones(strings.NewReader(text), "f")
		for _, p := range parts {
			if !strings.HasPrefix(p, "f.") {
				t.Errorf("part %q", p)
			}
		}
	})
}

// TestPoll follows by /proc what lives long enough to be seen.
func TestPoll(t *testing.T) {
	p, err := openPoll("/")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sampler{follow: p, missing: p.missing()}
	defer s.Close()
	w := newSpin(t, 2, -1)
	start(t, s, Options{Root: w.pid()})
	used := func() uint64 {
		_, u, err := readStat("/proc/" + strconv.Itoa(w.pid()))
		if err != nil {
			t.Fatal(err)
		}
		return u.utime + u.stime // ticks of 10 ms
	}
	before := used()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && used() < before+60; {
		time.Sleep(10 * time.Millisecond)
	}
	m := stop(t, s)
	if m.By != "proc" || m.HasQueues || m.HasMigrations || len(m.Missing) < 3 {
		t.Errorf("%+v", m)
	}
	// From when the first thread span to the end, less what was before Start.
	if all := m.Utime + m.Stime; all < 200*time.Millisecond || m.Tasks < 3 {
		t.Errorf("%v CPU time of %d threads", all, m.Tasks)
	}
	if _, err := openPoll(t.TempDir()); err == nil {
		t.Error("opened without /proc")
	}
	if err := s.Start(Options{Root: 1 << 30}); err == nil {
		t.Error("started without a process")
	}
}
