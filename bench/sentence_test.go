// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mllb/internal/runreport"
)

// told is a benchmark whose runs take a base time by a factor for each arm; a factor
// of 0 is a failed run, and a negative one that of an arm that changes nothing.
func told(t *testing.T, workloads []string, runs int, factors map[string]float64, humps float64) (Head, []Record) {
	t.Helper()
	arms, err := ParseArms([]string{"stock", "own", "assist", "again=stock"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Arms: arms, Runs: runs, Seed: 1}
	for _, w := range workloads {
		cfg.Workloads = append(cfg.Workloads, Workload{Name: w})
	}
	rng := rand.New(rand.NewPCG(21, 22))
	h := testHead(cfg)
	var records []Record
	for i, s := range cfg.Slots() {
		f, ok := factors[s.Workload+" "+s.Arm]
		if !ok {
			f = 1
		}
		r := Record{Slot: s, Started: h.Started.Add(time.Duration(i) * time.Second)}
		r.Wall = 10 * math.Abs(f) * (1 + 0.01*rng.Float64())
		if s.Arm == StockName && rng.Float64() < humps {
			r.Wall *= 2
		}
		if cfg.Arm(s.Arm).Kind == Daemon {
			r.Daemon = &runreport.Report{Seconds: 10, HeldInPlace: 1}
			if f < 0 {
				r.Daemon.HeldInPlace = 0
			}
		}
		if f == 0 {
			r.Failed = "exit status 2"
		}
		records = append(records, r)
	}
	return h, records
}

// The verdict, first in the text, on the page and in JSON.
func TestSentence(t *testing.T) {
	one, four := []string{"make -j8"}, []string{"fibo", "spin", "wakers", "pipeline"}
	var all strings.Builder
	for _, tt := range []struct {
		name      string
		workloads []string
		runs      int
		factors   map[string]float64
		humps     float64
	}{
		{"faster", one, 12, map[string]float64{"make -j8 own": 0.8}, 0},
		{"slower", one, 12, map[string]float64{"make -j8 own": 1.25, "make -j8 assist": 1.1}, 0},
		{"no difference", one, 12, nil, 0},
		{"too few", one, 4, map[string]float64{"make -j8 own": 0.5}, 0},
		{"a no-op", one, 12, map[string]float64{"make -j8 own": -1, "make -j8 assist": 0.9}, 0},
		{"two humps", one, 12, nil, 0.4},
		{"two humps, faster", one, 12, map[string]float64{"make -j8 own": 0.9}, 0.4},
		{"all failed", one, 3, map[string]float64{"make -j8 own": 0, "make -j8 assist": 0, "make -j8 again": 0, "make -j8 stock": 0}, 0},
		{"one failed", one, 12, map[string]float64{"make -j8 own": 0}, 0},
		{"both", four, 12, map[string]float64{"fibo own": 0.8, "spin own": 0.9, "wakers own": 1.3, "pipeline assist": 0.7}, 0},
		{"all of them", four, 12, map[string]float64{"fibo own": 0.8, "spin own": 0.9, "wakers own": 0.7, "pipeline own": 0.7}, 0},
	} {
		h, records := told(t, tt.workloads, tt.runs, tt.factors, tt.humps)
		r := newReport(h, records)
		all.WriteString(tt.name + ": " + r.Verdict + "\n")
		if strings.Count(r.Verdict, ". ") > 0 || !strings.HasSuffix(r.Verdict, ".") {
			t.Errorf("%s: not one sentence: %s", tt.name, r.Verdict)
		}
		var text bytes.Buffer
		if err := r.Draw(&text); err != nil || !strings.HasPrefix(text.String(), r.Verdict+"\n") {
			t.Errorf("%s: %v, the text begins otherwise: %.200s", tt.name, err, text.String())
		}
		if b, err := json.Marshal(r); err != nil || !bytes.HasPrefix(b, []byte(`{"verdict":`)) {
			t.Errorf("%s: %v, JSON begins otherwise: %.100s", tt.name, err, b)
		}
		for _, n := range r.Notes {
			if strings.Contains(n, "two humps") || strings.Contains(n, "outlier") || strings.Contains(n, "too few") {
				all.WriteString("    " + n + "\n")
			}
		}
	}
	golden(t, "verdicts.txt", []byte(all.String()))
	h, records := told(t, one, 12, nil, 0)
	r := newReport(h, records)
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil || !strings.Contains(page.String(), "</h1>\n<p class=\"verdict\">"+r.Verdict) {
		t.Errorf("%v, the page begins otherwise", err)
	}
	if r := newReport(testHead(newConfig(2, 1, 3, 0, 1)), nil); r.Verdict != "Nothing can be said: there are no runs." {
		t.Error(r.Verdict)
	}
}

func TestFailure(t *testing.T) {
	for _, tt := range []struct {
		factors map[string]float64
		want    string
	}{
		{nil, ""},
		{map[string]float64{"make own": 0}, "all 3 runs of make under own failed"},
		{map[string]float64{"make own": 0, "make assist": 0, "make again": 0, "make stock": 0}, "all 12 runs failed"},
	} {
		h, records := told(t, []string{"make"}, 3, tt.factors, 0)
		got := ""
		if err := newReport(h, records).Failure(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.factors, got, tt.want)
		}
	}
	h, records := told(t, []string{"make"}, 3, nil, 0)
	records[4].Failed = "exit status 2"
	if err := newReport(h, records).Failure(); err != nil {
		t.Errorf("one run of three failed: %v", err)
	}
}
