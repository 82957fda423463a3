// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"strings"
	"testing"
)

func TestParseSchedstat(t *testing.T) {
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
	parsers := map[string]func([]byte) error{"loadavg": c.parseLoad, "stat": c.parseStat, "vmstat": c.parseVMStat}
	for _, f := range []struct{ name, text string }{
		{"loadavg", "0.25 1.50 12.00 1/80 11206\n"},
		{"stat", "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\n"},
		{"vmstat", "nr_free_pages 1\nnuma_hint_faults 5\nnuma_hint_faults_local 4\nnuma_pages_migrated 3\n"},
	} {
		if err := parsers[f.name]([]byte(f.text)); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	want := counters{load: [3]float64{0.25, 1.5, 12}, idle: 4, steal: 8, numa: true, hintFaults: 5, hintFaultsLocal: 4, pagesMigrated: 3}
	if c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	for _, text := range []string{"numa_hint_faults 5\n", "numa_hint_faults five\n"} {
		if err := c.parseVMStat([]byte(text)); err == nil {
			t.Errorf("vmstat %q was taken", text)
		}
	}
	if err := c.parseVMStat([]byte("nr_free_pages 1\n")); err != nil || c.numa {
		t.Errorf("a kernel without NUMA balancing: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"1 2 3\n", "numa_hint_faults 1\n", "0 t f.part.0\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c counters
		if d, err := parseSchedstat(text); err == nil && d < 0 {
			t.Errorf("a delay of %v", d)
		}
		_ = c.parseVMStat([]byte(text))
		parts, _ := clones(strings.NewReader(text), "f")
		for _, p := range parts {
			if !strings.HasPrefix(p, "f.") {
				t.Errorf("part %q", p)
			}
		}
	})
}
