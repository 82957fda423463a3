// SPDX-License-Identifier: Apache-2.0

// Package train makes models of recorded decisions as the paper does, and
// judges each on rows that it was kept from: once, by Monte Carlo
// cross-validation, or in a search for the best rate, decay and batch.
package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
)

// Unit is what is held out whole, to judge with.
type Unit string

// The units. Rows of one run are near copies of each other, so only ByRun and
// ByLoad say how a model does on what it has not seen; ByRow is the paper's.
const (
	ByRun   Unit = "run"
	ByLoad  Unit = "load"
	ByRow   Unit = "random"
	Nothing Unit = "none" // learn from all; the rows that said when to stop judge
)

// Source is what is learned from.
type Source struct {
	Data   *mlp.Data
	Runs   []dataset.Run // by Data.Group
	Digest string        // of Data
}

// Open loads the usable rows of files as features of a set.
func Open(ctx context.Context, set *features.Set, paths ...string) (*Source, error) {
	data, runs, err := dataset.Load(ctx, set, paths...)
	if err != nil {
		return nil, err
	}
	if data.Rows() == 0 {
		return nil, fmt.Errorf("%s: no usable row: a hard condition decided in each (mllb dataset info lists them)", strings.Join(paths, ", "))
	}
	return &Source{Data: data, Runs: runs, Digest: data.Digest()}, nil
}

// Constant returns the names of the features that have one value in all rows,
// and that value. Nothing can be learned of them.
func (s *Source) Constant() (names []string, values []float64) {
	for k, r := range s.Data.Ranges() {
		if r[0] == r[1] {
			names, values = append(names, s.Data.Set.Features[k].Name), append(values, r[0])
		}
	}
	return names, values
}

// Distinct returns the different values of a property of the runs, in order of
// appearance.
func (s *Source) Distinct(of func(r *dataset.Run) string) []string {
	var list []string
	seen := make(map[string]bool)
	for i := range s.Runs {
		if x := of(&s.Runs[i]); x != "" && !seen[x] {
			seen[x] = true
			list = append(list, x)
		}
	}
	return list
}

// Config says how to train and how to judge.
type Config struct {
	mlp.TrainConfig
	Balanced bool    // class weights are mlp.BalancedWeights of the rows learned from
	Holdout  Unit    //
	Fraction float64 // of the rows to hold out at least
}

// Result is one model and how it does.
type Result struct {
	Seed      uint64
	Weights   [2]float64 // of the labels
	Model     *mlp.Model `json:"-"` // of a fold nobody needs it
	History   mlp.History
	Rows      int      // learned from, those that said when to stop included
	Held      []string // runs held out whole
	Judged    mlp.Evaluation
	Agreement float64 // share of the judged rows on which fixed point gives the float's answer
}

// streamHoldout keeps what is held out apart from the split that Train makes by
// the same seed.
const streamHoldout = 0x686f6c64

// Once trains one model and judges it on the rows held out.
func Once(ctx context.Context, cfg Config, src *Source) (*Result, error) {
	rest, judge, err := cfg.divide(src)
	if err != nil {
		return nil, err
	}
	cfg.balance(rest)
	m, history, err := mlp.Train(ctx, cfg.TrainConfig, rest)
	if err != nil {
		return nil, err
	}
	r := &Result{Seed: cfg.Seed, Weights: cfg.ClassWeights, Model: m, History: history, Rows: rest.Rows()}
	if judge == nil {
		_, judge = rest.Split(cfg.Validation, cfg.Seed)
	} else if cfg.Holdout != ByRow {
		r.Held = src.runsOf(judge)
	}
	if r.Judged, err = mlp.Evaluate(m, judge); err != nil {
		return nil, err
	}
	r.Agreement, err = mlp.Agreement(m, judge)
	return r, err
}

// balance sets the class weights, if they go by the data.
func (c *Config) balance(d *mlp.Data) {
	if n := d.Count(); c.Balanced && n[mlp.Stay] > 0 && n[mlp.Migrate] > 0 { // Train refuses the others
		c.ClassWeights = mlp.BalancedWeights(d)
	}
}

// divide returns the rows to learn from and those to judge with; nil for
// Nothing.
func (c *Config) divide(src *Source) (rest, judge *mlp.Data, err error) {
	data := src.Data
	if c.Holdout == Nothing {
		return data, nil, nil
	}
	if !(c.Fraction > 0 && c.Fraction < 1) {
		return nil, nil, fmt.Errorf("train: fraction %g is not between 0 and 1", c.Fraction)
	}
	var unit []int32
	switch c.Holdout {
	case ByRun:
		unit = data.Group
	case ByLoad:
		unit = src.loads()
	case ByRow:
		data = &mlp.Data{Set: data.Set, X: data.X, Y: data.Y} // no groups: validation rows are drawn one by one too
	default:
		return nil, nil, fmt.Errorf("train: hold out by %q: want run, load, random or none", c.Holdout)
	}
	if c.Holdout != ByRow {
		if n := countDistinct(unit); n < 2 {
			return nil, nil, fmt.Errorf("train: the rows are of %d %s: none can be held out whole", n, c.Holdout)
		}
	}
	if data.Rows() < 2 {
		return nil, nil, errors.New("train: one row is too few to train and evaluate")
	}
	r, h := data.Divide(unit, c.Fraction, c.Seed^streamHoldout)
	return data.Subset(r), data.Subset(h), nil
}

// loads numbers the load of each row.
func (s *Source) loads() []int32 {
	names := make(map[string]int32)
	byRun := make([]int32, len(s.Runs))
	for i := range s.Runs {
		id, ok := names[s.Runs[i].Load]
		if !ok {
			id = int32(len(names))
			names[s.Runs[i].Load] = id
		}
		byRun[i] = id
	}
	unit := make([]int32, len(s.Data.Group))
	for i, g := range s.Data.Group {
		unit[i] = byRun[g]
	}
	return unit
}

func countDistinct(unit []int32) int {
	seen := make(map[int32]bool)
	for _, u := range unit {
		seen[u] = true
	}
	return len(seen)
}

// runsOf returns the ids of the runs that the data has rows of.
func (s *Source) runsOf(d *mlp.Data) []string {
	seen := make(map[int32]bool)
	for _, g := range d.Group {
		seen[g] = true
	}
	var ids []string
	for i := range s.Runs {
		if seen[int32(i)] {
			ids = append(ids, s.Runs[i].ID)
		}
	}
	return ids
}
