// SPDX-License-Identifier: Apache-2.0

package train

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/mlp"
)

func TestSweepDrawsFromTable1(t *testing.T) {
	cfg := config(ByRun)
	var rates []float64
	for n := range 1000 {
		trial := drawTrial(&cfg, n)
		if trial != drawTrial(&cfg, n) {
			t.Fatalf("trial %d is not the same twice", n)
		}
		if n == 0 {
			if trial.LearningRate != cfg.LearningRate || trial.Batch != cfg.Batch || trial.Decay != cfg.Decay {
				t.Errorf("the first trial is %+v, not the configuration", trial)
			}
			continue
		}
		if trial.LearningRate < 1e-5 || trial.LearningRate > 1.5e-3 || trial.Decay < 1e-6 || trial.Decay > 1.5e-4 || trial.Batch < 16 || trial.Batch > 128 {
			t.Errorf("trial %d: %+v is out of the ranges", n, trial)
		}
		rates = append(rates, trial.LearningRate)
	}
	slices.Sort(rates)
	// Log-uniform: the median is the geometric mean of the ends.
	if median, want := rates[len(rates)/2], math.Sqrt(1e-5*1.5e-3); median < 0.75*want || median > 1.33*want {
		t.Errorf("the median rate is %g, want about %g", median, want)
	}
}

// TestSweepResumes cuts the file of a search as a crash would, goes on, and
// compares with a search that nothing stopped.
func TestSweepResumes(t *testing.T) {
	src := source(t, 4, 60)
	dir := t.TempDir()
	whole := Search{Path: filepath.Join(dir, "whole"), Trials: 6, Workers: 2}
	want, err := Sweep(t.Context(), config(ByRun), src, whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 6 || *want[0].Loss > *want[5].Loss {
		t.Fatalf("trials %+v", want)
	}
	part := Search{Path: filepath.Join(dir, "part"), Trials: 3}
	if _, err := Sweep(t.Context(), config(ByRun), src, part, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(part.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part.Path, text[:len(text)-9], 0o644); err != nil {
		t.Fatal(err)
	}
	part.Trials = 6
	tried := 0
	got, err := Sweep(t.Context(), config(ByRun), src, part, func(_ int, _ mlp.Epoch, done bool) {
		if done {
			tried++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || tried != 4 {
		t.Errorf("went on with %d trials, want 4 (-whole +resumed):\n%s", tried, diff)
	}
	part.Budget = time.Nanosecond // nothing is left to try: a spent budget is no error
	if again, err := Sweep(t.Context(), config(ByRun), src, part, nil); err != nil || len(again) != 6 {
		t.Errorf("%d trials, %v", len(again), err)
	}
	part.Trials = 9
	if again, err := Sweep(t.Context(), config(ByRun), src, part, nil); err != nil || len(again) != 6 {
		t.Errorf("without budget: %d trials, %v", len(again), err)
	}
	other := config(ByRun)
	other.Hidden = 3
	if _, err := Sweep(t.Context(), other, src, part, nil); err == nil || !strings.Contains(err.Error(), "other data or settings") {
		t.Errorf("another network: error %v", err)
	}
}

func TestSweepKeepsWhatDiverged(t *testing.T) {
	cfg := config(ByRun)
	cfg.LearningRate = 1e300
	s := Search{Path: filepath.Join(t.TempDir(), "trials"), Trials: 1}
	if _, err := Sweep(t.Context(), cfg, source(t, 3, 60), s, nil); err == nil || !strings.Contains(err.Error(), "all 1 trials diverged") {
		t.Errorf("error %v", err)
	}
	s.Trials = 2
	trials, err := Sweep(t.Context(), cfg, source(t, 3, 60), s, nil)
	if err != nil || len(trials) != 2 || trials[0].Number != 1 || trials[1].Loss != nil {
		t.Errorf("%+v, %v", trials, err)
	}
}

func TestParseTrialsRefuses(t *testing.T) {
	cfg := config(ByRun)
	h := header{trialsSchema, cfg.settings(source(t, 2, 10))}
	var b bytes.Buffer
	path := filepath.Join(t.TempDir(), "t")
	tr, err := openTrials(path, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.close(); err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	trial := `{"trial":3,"learning_rate":1e-4,"decay":1e-6,"batch":64,"loss":0.5,"epochs":2}` + "\n"
	for _, c := range []struct{ text, want string }{
		{"hello\n", "line 1: not a file of trials"},
		{strings.Replace(string(head), `"seed":1`, `"seed":2`, 1), "line 1: trials of other data or settings (seed 2, here 1): use another file"},
		{string(head) + "{}\n", "line 2: trial 0: rate 0"},
		{string(head) + trial + trial, "line 3: trial 3 occurs twice"},
		{string(head) + strings.Replace(trial, "epochs", "epoch", 1), "unknown field"},
		{string(head) + "{}{}\n", "more than one value"},
	} {
		if _, _, err := parseTrials(strings.NewReader(c.text), h); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	b.Write(head)
	b.WriteString(trial + trial[:20])
	list, whole, err := parseTrials(&b, h)
	if err != nil || len(list) != 1 || whole != int64(len(head)+len(trial)) {
		t.Errorf("%d trials, %d bytes, %v", len(list), whole, err)
	}
}

// FuzzTrials holds that what is read is read again from the same lines.
func FuzzTrials(f *testing.F) {
	h := header{trialsSchema, settings{Seed: 1}}
	head := `{"sweep":1,"seed":1}` + "\n"
	f.Add([]byte(head + `{"trial":3,"learning_rate":1e-4,"decay":1e-6,"batch":64,"loss":null,"epochs":2}` + "\n"))
	f.Add([]byte(head + "{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, whole, err := parseTrials(bytes.NewReader(data), h)
		if err != nil {
			return
		}
		again, _, err := parseTrials(bytes.NewReader(data[:whole]), h)
		if err != nil || !cmp.Equal(list, again) {
			t.Fatalf("%v, then %v, %v", list, again, err)
		}
		if _, err := ranked(list); err == nil && len(list) == 0 {
			t.Fatal("no trial was ranked best")
		}
	})
}
