// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// data is where the recorded decisions are.
const data = "../../data/"

// corpora are the files and the least that each must hold.
var corpora = []struct {
	file, kernel        string
	runs                int
	usable, stay        int64
	disagree, unexplain float64 // with 6.12's rule: shares that may
}{
	{"6.12-diverse.parquet", "6.12.", 144, 700_000, 60_000, 0, 0},
	{"6.12-paper.parquet", "6.12.", 3, 80_000, 160, 0, 0},
	{"7.2-diverse.parquet", "7.2.", 48, 80_000, 5_000, 0.002, 0}, // 114: equal NUMA weights
	{"sample.parquet", "6.12.", 5, 5_000, 100, 0, 0},
}

// TestCorpora replays the kernel's rule on every record.
func TestCorpora(t *testing.T) {
	for _, c := range corpora {
		t.Run(c.file, func(t *testing.T) {
			if testing.Short() && c.usable > 100_000 {
				t.Skip("short: 500,000 records take seconds")
			}
			cfs := func(d *features.Decision) bool { return scheduler.CFS{}.Decide(d).Migrate }
			ties := func(r *dataset.Row) string {
				if (scheduler.CFS{TiesNeutral: true}).Decide(&r.Decision).Migrate == r.Migrate {
					return "ties"
				}
				return ""
			}
			v, err := dataset.Check(t.Context(), io.Discard, cfs, ties, 0, data+c.file)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Kernels) != 1 || !strings.HasPrefix(v.Kernels[0].Kernel, c.kernel) {
				t.Fatalf("kernels %+v, want one %s", v.Kernels, c.kernel)
			}
			k := v.Kernels[0]
			if k.Usable < c.usable {
				t.Errorf("%d usable records, want %d", k.Usable, c.usable)
			}
			if float64(k.Disagree) > c.disagree*float64(k.Usable) || float64(k.Unexplained) > c.unexplain*float64(k.Usable) {
				t.Errorf("%d of %d disagree with the rule, %d of them unexplained: %+v", k.Disagree, k.Usable, k.Unexplained, v.Classes)
			}
			checkRuns(t, c.file, c.runs, c.stay)
		})
	}
}

// checkRuns looks at the labels and at what each run says of itself.
func checkRuns(t *testing.T, file string, runs int, stay int64) {
	t.Helper()
	var stays int64
	seen := map[string]bool{}
	err := dataset.Each(t.Context(), []string{data + file}, func(_ string, _ int64, r *dataset.Row) error {
		if !r.Migrate {
			stays++
		}
		if seen[r.Run.ID] {
			return nil
		}
		seen[r.Run.ID] = true
		if c := r.Run.Counters; c.Calls != c.Records+c.Filtered+c.Drops {
			t.Errorf("run %s: calls do not add up: %+v", r.Run.ID, c)
		}
		if line := strings.Join(r.Run.Command, " "); !strings.Contains(line, "mllb lab record --profile") || !strings.Contains(line, "--only ") {
			t.Errorf("run %s: its command line %q does not say how to make it", r.Run.ID, line)
		}
		if r.Run.Load == "" || r.Run.Tag == "" || r.Run.NUMA == nil {
			t.Errorf("run %s: load %q, tag %q, distances %v", r.Run.ID, r.Run.Load, r.Run.Tag, r.Run.NUMA)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < runs || stays < stay {
		t.Errorf("%d runs and %d stays, want %d and %d", len(seen), stays, runs, stay)
	}
}

// TestSampleIsSmall keeps the file that tests read small.
func TestSampleIsSmall(t *testing.T) {
	info, err := os.Stat(data + "sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 1<<20 {
		t.Errorf("%d bytes, want less than 1 MiB", info.Size())
	}
}

// TestSampleTeaches learns from the sample and judges on runs held out whole:
// the labels follow from the features, and the code that learns finds it.
func TestSampleTeaches(t *testing.T) {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := dataset.Load(t.Context(), set, data+"sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	train, test := all.Split(0.3, 1)
	cfg := mlp.PaperConfig()
	cfg.Epochs, cfg.Scale, cfg.ClassWeights = 40, true, mlp.BalancedWeights(train)
	m, _, err := mlp.Train(t.Context(), cfg, train)
	if err != nil {
		t.Fatal(err)
	}
	e, err := mlp.Evaluate(m, test)
	if err != nil {
		t.Fatal(err)
	}
	if b := e.Balanced(); b < 0.98 {
		t.Errorf("balanced accuracy %.4f on rows that it has not seen, want 0.98", b)
	}
}
