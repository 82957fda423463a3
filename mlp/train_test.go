// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"mllb/features"
)

// toy is a rule that a linear model cannot give: stay if exactly one of the
// first two features is 1, on rows with plausible values elsewhere.
func toy(t testing.TB, rows, groups int) *Data {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(10, 11))
	d := &Data{Set: set}
	q := make([]int32, len(set.Features))
	for i := range rows {
		v := randomVector(rng, set)
		set.Unpack(q, &v)
		for _, x := range q {
			d.X = append(d.X, float32(features.ToFloat(x)))
		}
		d.Y = append(d.Y, uint8(1^v.Bits&1^v.Bits>>1&1))
		if groups > 0 {
			d.Group = append(d.Group, int32(i%groups))
		}
	}
	return d
}

func quick() TrainConfig {
	cfg := PaperConfig()
	cfg.LearningRate, cfg.Epochs, cfg.Seed = 5e-3, 60, 1
	return cfg
}

func TestTrainLearns(t *testing.T) {
	d := toy(t, 3000, 0)
	rest, held := d.Split(0.3, 99)
	m, history, err := Train(t.Context(), quick(), rest)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(m, held)
	if err != nil {
		t.Fatal(err)
	}
	if e.Balanced() < 0.98 || e.Majority() > 0.6 {
		t.Errorf("balanced %.3f, majority %.3f after %d epochs", e.Balanced(), e.Majority(), len(history.Epochs))
	}
	if a, err := Agreement(m, held); err != nil || a < 0.99 {
		t.Errorf("fixed and float agree on %.4f, %v", a, err)
	}
}

// TestTrainScale learns a rule on a feature of 1/1000ths beside one of 1000s,
// judged on data as it is: the scales have to come out of the weights again.
func TestTrainScale(t *testing.T) {
	d := toy(t, 3000, 0)
	for i := range d.Y {
		row := d.Row(i)
		row[9], row[10] = row[9]*1000, row[10]/1000
		d.Y[i] = Stay
		if row[10] > 0 {
			d.Y[i] = Migrate
		}
	}
	before := d.Digest()
	rest, held := d.Split(0.3, 99)
	cfg := quick()
	cfg.Scale, cfg.Epochs = true, 30
	m, _, err := Train(t.Context(), cfg, rest)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(m, held)
	if err != nil {
		t.Fatal(err)
	}
	if e.Balanced() < 0.97 {
		t.Errorf("balanced %.3f", e.Balanced())
	}
	if d.Digest() != before {
		t.Error("training changed its data")
	}
}

func TestTrainIsReproducible(t *testing.T) {
	d := toy(t, 500, 0)
	train := func(seed uint64) string {
		cfg := quick()
		cfg.Epochs, cfg.Seed = 3, seed
		m, _, err := Train(t.Context(), cfg, d)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := m.Save(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if diff := cmp.Diff(train(1), train(1)); diff != "" {
		t.Errorf("the same seed gave:\n%s", diff)
	}
	if train(1) == train(2) {
		t.Error("another seed gave the same model")
	}
}

// TestEarlyStopping learns noise, whose validation loss soon rises.
func TestEarlyStopping(t *testing.T) {
	d := toy(t, 300, 0)
	rng := rand.New(rand.NewPCG(14, 15))
	for i := range d.Y {
		d.Y[i] = uint8(rng.IntN(2))
	}
	cfg := quick()
	cfg.LearningRate, cfg.Patience, cfg.MinDelta, cfg.Epochs = 0.02, 4, 0, 500
	calls := 0
	cfg.Progress = func(e Epoch) { calls++ }
	m, history, err := Train(t.Context(), cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	last := len(history.Epochs) - 1
	if last+1 == cfg.Epochs || last-history.Best != cfg.Patience || calls != last+1 {
		t.Fatalf("best epoch %d of %d, %d calls", history.Best, last, calls)
	}
	_, held := d.Split(cfg.Validation, cfg.Seed)
	e, err := Evaluate(m, held)
	if err != nil {
		t.Fatal(err)
	}
	if want := history.Epochs[history.Best].Validation; math.Abs(e.Loss-want.Loss) > 1e-4 || e.Confusion != want.Confusion {
		t.Errorf("the model returned has %+v, the best epoch had %+v", e, want)
	}
}

// TestMinDelta asks for more than any epoch can gain: all but the first are in
// vain, yet the best of them is taken.
func TestMinDelta(t *testing.T) {
	cfg := quick()
	cfg.Patience, cfg.MinDelta = 6, 100
	_, history, err := Train(t.Context(), cfg, toy(t, 1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(history.Epochs) != 1+cfg.Patience || history.Best == 0 {
		t.Errorf("the best of %d epochs is number %d, want %d epochs and not the first", len(history.Epochs), history.Best+1, 1+cfg.Patience)
	}
}

func TestTrainRefuses(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		want  string
		ctx   context.Context
		spoil func(*TrainConfig, *Data)
	}{
		{"context canceled", cancelled, func(*TrainConfig, *Data) {}},
		{"no feature set", nil, func(_ *TrainConfig, d *Data) { d.Set = nil }},
		{"no rows", nil, func(_ *TrainConfig, d *Data) { *d = Data{Set: d.Set} }},
		{"every label is the same (40 stay, 0 migrate)", nil, func(_ *TrainConfig, d *Data) { clear(d.Y) }},
		{"without the validation rows every label is the same", nil, func(c *TrainConfig, d *Data) {
			clear(d.Y)
			clear(d.Group)
			d.Y[39], d.Group[39], c.Seed = 1, 1, 0 // group 1 alone migrates
			for _, held := d.Split(c.Validation, c.Seed); held.Y[0] != 1; _, held = d.Split(c.Validation, c.Seed) {
				c.Seed++
			}
		}},
		{"row 1: delta_hot is NaN", nil, func(_ *TrainConfig, d *Data) { d.X[18] = float32(math.NaN()) }},
		{"row 0: src_non_pref_nr is +Inf", nil, func(_ *TrainConfig, d *Data) { d.X[0] = float32(math.Inf(1)) }},
		{"row 1: delta_hot is 0.5, neither 0 nor 1", nil, func(_ *TrainConfig, d *Data) { d.X[18] = 0.5 }},
		{"row 2: label 2", nil, func(_ *TrainConfig, d *Data) { d.Y[2] = 2 }},
		{"numbers for 40 rows", nil, func(_ *TrainConfig, d *Data) { d.X = d.X[1:] }},
		{"39 groups", nil, func(_ *TrainConfig, d *Data) { d.Group = d.Group[1:] }},
		{"hidden neurons: 65", nil, func(c *TrainConfig, _ *Data) { c.Hidden = 65 }},
		{"learning rate: NaN", nil, func(c *TrainConfig, _ *Data) { c.LearningRate = math.NaN() }},
		{"decay: -1", nil, func(c *TrainConfig, _ *Data) { c.Decay = -1 }},
		{"betas", nil, func(c *TrainConfig, _ *Data) { c.Beta2 = 1 }},
		{"epsilon", nil, func(c *TrainConfig, _ *Data) { c.Epsilon = 0 }},
		{"batch: 0", nil, func(c *TrainConfig, _ *Data) { c.Batch = 0 }},
		{"epochs: 0", nil, func(c *TrainConfig, _ *Data) { c.Epochs = 0 }},
		{"least gain: NaN", nil, func(c *TrainConfig, _ *Data) { c.MinDelta = math.NaN() }},
		{"patience: 0", nil, func(c *TrainConfig, _ *Data) { c.Patience = 0 }},
		{"validation split: 1", nil, func(c *TrainConfig, _ *Data) { c.Validation = 1 }},
		{"class weights", nil, func(c *TrainConfig, _ *Data) { c.ClassWeights[0] = 0 }},
		{"lower the learning rate", nil, func(c *TrainConfig, _ *Data) { c.LearningRate = 1e300 }},
	} {
		cfg, d := quick(), toy(t, 40, 2)
		c.spoil(&cfg, d)
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		_, _, err := Train(c.ctx, cfg, d)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if strings.Contains(c.want, "lower the learning rate") != errors.Is(err, ErrDiverged) {
			t.Errorf("%v: is it ErrDiverged?", err)
		}
		if c.ctx == cancelled && !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not wrap context.Canceled", err)
		}
	}
}

func TestSplitHoldsOutWholeGroups(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rows, groups := rapid.IntRange(2, 200).Draw(r, "rows"), rapid.IntRange(0, 9).Draw(r, "groups")
		fraction := rapid.Float64Range(0.01, 0.99).Draw(r, "fraction")
		d := toy(t, rows, groups)
		rest, held := d.Split(fraction, rapid.Uint64().Draw(r, "seed"))
		if rest.Rows()+held.Rows() != rows || rest.Rows() == 0 || held.Rows() == 0 {
			r.Fatalf("%d rows became %d and %d", rows, rest.Rows(), held.Rows())
		}
		seen := map[int32]bool{}
		for _, g := range rest.Group {
			seen[g] = true
		}
		for _, g := range held.Group {
			if seen[g] && min(rows, groups) >= 2 {
				r.Fatalf("group %d is in both parts", g)
			}
		}
	})
}

func TestEvaluation(t *testing.T) {
	// 96 migrate, 4 stay; the model finds one of the four and loses two moves.
	var e Evaluation
	e.N = [2][2]int{{1, 3}, {2, 94}}
	got := e.Metrics()
	want := map[string]float64{"rows": 100, "accuracy": 0.95, "majority": 0.96, "balanced": 59.0 / 96,
		"stay_recall": 0.25, "migrate_recall": 94.0 / 96, "loss": 0}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var oneLabel Evaluation
	oneLabel.Add(Migrate, Migrate)
	if _, ok := oneLabel.Metrics()["balanced"]; ok {
		t.Error("a balanced accuracy without both labels")
	}
	if x := CrossEntropy(1000, Stay); x != 1000 {
		t.Errorf("cross-entropy at a logit of 1000 is %g", x)
	}
	d := toy(t, 10, 0)
	paper15, _ := features.Lookup("paper15")
	if _, err := Evaluate(NewModel(paper15, 2), d); err == nil {
		t.Error("a model of paper15 judged data of locality17")
	}
}

func TestDataDigest(t *testing.T) {
	a, b := toy(t, 100, 0), toy(t, 100, 0)
	if a.Digest() != b.Digest() {
		t.Error("equal data, two digests")
	}
	b.X[len(b.X)-1]++
	if a.Digest() == b.Digest() {
		t.Error("other data, the same digest")
	}
}

// BenchmarkTrain reports rows learned per second.
func BenchmarkTrain(b *testing.B) {
	for _, rows := range []int{8192, 500_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			d := toy(b, rows, 0)
			cfg := PaperConfig()
			t := newTrainer(&cfg, d.Set, d.samples(everyRow(d)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.epoch(context.Background(), &History{Batches: rows / cfg.Batch}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}
