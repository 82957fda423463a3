// SPDX-License-Identifier: Apache-2.0

package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// source makes decisions of a number of runs, whose loads are 50, 100 and 200
// in turn, labelled by the kernel's rule.
func source(t testing.TB, runs, rows int) *Source {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	src := &Source{Data: &mlp.Data{Set: set}}
	rng := rand.New(rand.NewPCG(1, 2))
	for r := range runs {
		src.Runs = append(src.Runs, dataset.Run{ID: fmt.Sprint("run", r), Load: []string{"50", "100", "200"}[r%3], Kernel: "6.12"})
		for range rows {
			d := decision(rng)
			label := uint8(mlp.Stay)
			if (scheduler.CFS{}).Decide(&d).Migrate {
				label = mlp.Migrate
			}
			src.Data.Append(&d, label, int32(r))
		}
	}
	src.Digest = src.Data.Digest()
	return src
}

func decision(rng *rand.Rand) (d features.Decision) {
	d.Fair, d.Domain = true, features.SDNUMA
	d.Idle = features.IdleType(rng.IntN(3))
	d.SrcNode, d.DstNode, d.PreferredNode = 0, int32(rng.IntN(2)), int32(rng.IntN(3)-1)
	d.SrcNrRunning = uint32(2 + rng.IntN(3))
	d.SrcLen, d.SrcLoad = d.SrcNrRunning, uint64(rng.IntN(4000))
	d.SrcNrPreferredRunning = uint32(rng.IntN(3))
	d.Delta, d.MigrationCost = rng.Int64N(1e6), 500_000
	d.NrBalanceFailed, d.CacheNiceTries = uint32(rng.IntN(3)), 1
	d.NUMABalancing, d.HasFaults = true, d.PreferredNode >= 0
	if d.HasFaults {
		d.TaskFaults = []uint64{uint64(rng.IntN(100)), uint64(rng.IntN(100))}
		d.TaskTotalFaults = d.TaskFaults[0] + d.TaskFaults[1]
	}
	return d
}

func config(unit Unit) Config {
	c := Config{TrainConfig: mlp.PaperConfig(), Holdout: unit, Fraction: 0.3}
	c.LearningRate, c.Epochs, c.Seed = 3e-3, 4, 1
	return c
}

func TestOnceHoldsOutWhole(t *testing.T) {
	const rows = 100
	src := source(t, 6, rows)
	for _, c := range []struct {
		unit Unit
		held int // runs, at the seed
	}{{ByRun, 2}, {ByLoad, 2}, {ByRow, 0}, {Nothing, 0}} {
		r, err := Once(t.Context(), config(c.unit), src)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Held) != c.held {
			t.Errorf("%s: runs held out are %v, want %d", c.unit, r.Held, c.held)
		}
		switch c.unit {
		case Nothing:
			if r.Rows != 6*rows || r.Judged.Rows() != rows {
				t.Errorf("%s: learned from %d rows, judged on %d; want all, and the run that said when to stop", c.unit, r.Rows, r.Judged.Rows())
			}
		case ByRow:
			if r.Rows != 6*rows*7/10 || r.Judged.Rows() != 6*rows*3/10 {
				t.Errorf("%s: learned from %d rows, judged on %d", c.unit, r.Rows, r.Judged.Rows())
			}
		default:
			if r.Judged.Rows() != len(r.Held)*rows || r.Rows+r.Judged.Rows() != 6*rows {
				t.Errorf("%s: learned from %d rows, judged on %d of %d runs", c.unit, r.Rows, r.Judged.Rows(), len(r.Held))
			}
		}
		if c.unit == ByLoad && src.load(r.Held[0]) != src.load(r.Held[1]) {
			t.Errorf("%s: %v are of two loads", c.unit, r.Held)
		}
	}
}

func (s *Source) load(id string) string {
	return s.Runs[slices.IndexFunc(s.Runs, func(r dataset.Run) bool { return r.ID == id })].Load
}

func TestOnceRefuses(t *testing.T) {
	src := source(t, 1, 50)
	for _, c := range []struct {
		want string
		cfg  func(*Config)
	}{
		{"the rows are of 1 run: none can be held out whole", func(c *Config) { c.Holdout = ByRun }},
		{"the rows are of 1 load: none can be held out whole", func(c *Config) { c.Holdout = ByLoad }},
		{`hold out by "node"`, func(c *Config) { c.Holdout = "node" }},
		{"fraction 1 is not between", func(c *Config) { c.Fraction = 1 }},
		{"batch: 0", func(c *Config) { c.Batch = 0 }},
	} {
		cfg := config(ByRow)
		c.cfg(&cfg)
		if _, err := Once(t.Context(), cfg, src); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestBalanced(t *testing.T) {
	src := source(t, 4, 100)
	cfg := config(ByRun)
	cfg.Balanced = true
	r, err := Once(t.Context(), cfg, src)
	if err != nil {
		t.Fatal(err)
	}
	n := src.Data.Count()
	if want := float64(n[mlp.Migrate]) / float64(n[mlp.Stay]); math.Abs(r.Weights[0]/r.Weights[1]-want) > 0.5*want {
		t.Errorf("class weights %g for %d stay and %d migrate", r.Weights, n[mlp.Stay], n[mlp.Migrate])
	}
}

// TestCrossValidateIsReproducible holds that a fold is what its seed alone
// gives, however many are trained at once.
func TestCrossValidateIsReproducible(t *testing.T) {
	src := source(t, 6, 80)
	want := make([]string, 5)
	for k := range want {
		cfg := config(ByRun)
		cfg.Seed += uint64(k)
		r, err := Once(t.Context(), cfg, src)
		if err != nil {
			t.Fatal(err)
		}
		want[k] = file(t, r.Model)
	}
	for _, workers := range []int{1, 3, 0} {
		ends, epochs := 0, 0
		results, err := CrossValidate(t.Context(), config(ByRun), src, len(want), workers, func(_ int, e mlp.Epoch, done bool) {
			if done {
				ends++
			} else {
				epochs++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for k, r := range results {
			if diff := cmp.Diff(want[k], file(t, r.Model)); diff != "" {
				t.Errorf("%d workers: fold %d:\n%s", workers, k, diff)
			}
		}
		if ends != len(want) || epochs != 4*len(want) {
			t.Errorf("%d workers: progress was told of %d ends and %d epochs", workers, ends, epochs)
		}
	}
	if want[0] == want[1] {
		t.Error("another seed gave the same model")
	}
}

func file(t *testing.T, m *mlp.Model) string {
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCrossValidateFails(t *testing.T) {
	src := source(t, 3, 20)
	clear(src.Data.Y)
	if _, err := CrossValidate(t.Context(), config(ByRun), src, 3, 2, nil); err == nil || !strings.Contains(err.Error(), "every label is the same") {
		t.Errorf("one label: error %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CrossValidate(cancelled, config(ByRun), source(t, 3, 20), 3, 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

func TestOverAndPooled(t *testing.T) {
	results := []*Result{{Agreement: 1}, {Agreement: math.NaN()}, {Agreement: 3}}
	for i, r := range results {
		r.Judged.N = [2][2]int{{i, 1}, {2, 10}}
	}
	want := Statistic{Mean: 2, SD: math.Sqrt2, N: 2}
	if diff := cmp.Diff(want, Over(results, func(r *Result) float64 { return r.Agreement }), cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := Over(results[1:2], func(r *Result) float64 { return r.Agreement }); s.N != 0 || !math.IsNaN(s.Mean) {
		t.Errorf("of no number: %+v", s)
	}
	if got := Pooled(results).N; got != [2][2]int{{3, 3}, {6, 30}} {
		t.Errorf("pooled: %v", got)
	}
}

func TestConstant(t *testing.T) {
	names, values := source(t, 2, 60).Constant()
	if diff := cmp.Diff([]string{"dst_load", "dst_len", "buddy_hot", "same_smt"}, names); diff != "" || values[0] != 0 {
		t.Errorf("constant features %v %v (-want +got):\n%s", names, values, diff)
	}
}

func TestOpen(t *testing.T) {
	set, _ := features.Lookup("paper15")
	path := filepath.Join(t.TempDir(), "x.parquet")
	w, err := dataset.Create(path, dataset.Meta{Runs: []dataset.Run{{ID: "x", Kernel: "6.12"}}})
	if err != nil {
		t.Fatal(err)
	}
	recs := make([]features.Record, 3)
	for i := range recs {
		recs[i].Condition = features.CPUsAllowed
	}
	if err := w.Write(recs); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), set, path); err == nil || !strings.Contains(err.Error(), "no usable row") {
		t.Errorf("error %v", err)
	}
	src, err := Open(t.Context(), set, filepath.Join("..", "dataset", "testdata", "a.parquet"), filepath.Join("..", "dataset", "testdata", "b.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if len(src.Runs) != 2 || src.Data.Rows() == 0 || src.Digest != src.Data.Digest() {
		t.Errorf("%d rows of %d runs, %s", src.Data.Rows(), len(src.Runs), src.Digest)
	}
	if diff := cmp.Diff([]string{"50", "100"}, src.Distinct(func(r *dataset.Run) string { return r.Load })); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
}

func TestFigure(t *testing.T) {
	results, err := CrossValidate(t.Context(), config(ByRun), source(t, 4, 80), 2, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "deep", "er")
	if err := Figure(t.Context(), dir, false, results); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "loss.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"batches", "cross-entropy", "training", "validation"} {
		if !bytes.Contains(svg, []byte(">"+text+"<")) {
			t.Errorf("loss.svg does not say %q", text)
		}
	}
	f, err := os.Open(filepath.Join(dir, "loss.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 1200 {
		t.Errorf("loss.png: %v", err)
	}
	training, validation := curves(results[0])
	last := results[0].History.Batches * 4
	if len(validation) != 4 || int(validation[3].X) != last || int(training[len(training)-1].X) != last {
		t.Errorf("curves end at %v and %v, want %d batches", training[len(training)-1], validation[len(validation)-1], last)
	}
}
