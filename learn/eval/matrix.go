// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/mlp"
)

// Recipe is how the networks of the load matrix are trained. Its Hidden and
// Seed are those of the model and of the evaluation.
type Recipe struct {
	Name     string
	Train    mlp.TrainConfig
	Balanced bool // weigh both labels the same
}

// Matrix is the networks trained for one load, judged on each load: the paper's
// first insight is that a model of busy systems fails on an idle one. No network
// is judged on rows that it learned from. All is one network for all loads, and
// Model the one at hand, whose training rows are not known here.
type Matrix struct {
	Recipe string       `json:"recipe"`
	Loads  []MatrixLoad `json:"loads"` // the columns: what is judged on
	Rows   []MatrixRow  `json:"rows"`
}

// MatrixLoad is the rows of one load.
type MatrixLoad struct {
	Load  string `json:"load"`
	Train int    `json:"train"` // learned from
	Test  int    `json:"test"`  // held out to judge on
	Stay  int    `json:"test_stay"`
	Runs  bool   `json:"runs_held_out"` // whole runs are held out; else rows drawn at random, which flatters
}

// Few reports whether the load has too few rows of a label to say much.
func (l *MatrixLoad) Few() bool { return min(l.Stay, l.Test-l.Stay) < 100 }

// MatrixRow is one network.
type MatrixRow struct {
	Trained string       `json:"trained_on"`
	Problem string       `json:"problem,omitempty"` // why there is none
	Epochs  int          `json:"epochs,omitempty"`
	Cells   []MatrixCell `json:"cells"` // by column
}

// MatrixCell is one network on one load, in floating point.
type MatrixCell struct {
	Accuracy   number.Num `json:"accuracy"`
	Balanced   number.Num `json:"balanced_accuracy"`
	StayRecall number.Num `json:"stay_recall"`
	Majority   number.Num `json:"majority"`
	Loss       number.Num `json:"loss"`
	Guarded    number.Num `json:"guarded_balanced_accuracy"` // with the rule of 6.12 outside the network's training ranges
	Outside    number.Num `json:"outside_training_ranges"`   // share of the decisions
}

var noCell = MatrixCell{undefined, undefined, undefined, undefined, undefined, undefined, undefined}

// matrixHeld is the share of each load that is held out.
const matrixHeld = 0.25

// loadData is the decisions of each load, to learn from.
type loadData struct {
	set   *features.Set
	loads map[string]*mlp.Data
	rules map[string][]uint8 // what the rule of 6.12 says of each row
	runs  map[string]int32
}

func newLoadData(set *features.Set) *loadData {
	return &loadData{set, make(map[string]*mlp.Data), make(map[string][]uint8), make(map[string]int32)}
}

func (l *loadData) add(r *dataset.Row, label, rule uint8) {
	run, known := l.runs[r.Run.ID]
	if !known {
		run = int32(len(l.runs))
		l.runs[r.Run.ID] = run
	}
	d := l.loads[r.Run.Load]
	if d == nil {
		d = &mlp.Data{Set: l.set}
		l.loads[r.Run.Load] = d
	}
	d.Append(&r.Decision, label, run)
	l.rules[r.Run.Load] = append(l.rules[r.Run.Load], rule)
}

// halves are the two parts of one load.
type halves struct {
	load        string
	train, test *mlp.Data
	rule        []uint8 // what the rule of 6.12 says of each row of test
}

// split halves each load.
func (l *loadData) split(seed uint64) (parts []halves) {
	for load, d := range l.loads {
		rest, held := d.Divide(d.Group, matrixHeld, seed)
		p := halves{load: load, train: d.Subset(rest), test: d.Subset(held)}
		// What says when to stop is rows drawn at random, as in the paper: of a load's
		// few runs a whole one may be unlike the others.
		p.train.Group = nil
		for _, i := range held {
			p.rule = append(p.rule, l.rules[load][i])
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b halves) int { return natural(a.load, b.load) })
	return parts
}

// matrix trains one network for each load and one for all, in parallel.
func (l *loadData) matrix(ctx context.Context, cfg *Config) (*Matrix, error) {
	out := &Matrix{Recipe: cfg.Matrix.Name}
	all := &mlp.Data{Set: l.set}
	parts := l.split(cfg.Seed)
	for _, p := range parts {
		out.Loads = append(out.Loads, MatrixLoad{p.load, p.train.Rows(), p.test.Rows(), p.test.Count()[mlp.Stay], runsOf(l.loads[p.load]) > 1})
		all.X, all.Y = append(all.X, p.train.X...), append(all.Y, p.train.Y...)
	}
	learn := append(slices.Clone(parts), halves{load: "all", train: all})
	out.Rows = make([]MatrixRow, len(learn)+1)
	errs := make([]error, len(learn))
	if log := cfg.Log; log != nil { // told by one network at a time
		var mu sync.Mutex
		one := *cfg
		one.Log = func(line string) {
			mu.Lock()
			defer mu.Unlock()
			log(line)
		}
		cfg = &one
	}
	var work sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, p := range learn {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out.Rows[i], errs[i] = trainRow(ctx, cfg, p, parts)
		})
	}
	work.Wait()
	last, err := matrixRow("this model", cfg.Model, parts)
	out.Rows[len(learn)] = last
	return out, errors.Join(append(errs, err)...)
}

func runsOf(d *mlp.Data) int {
	runs := slices.Clone(d.Group)
	slices.Sort(runs)
	return len(slices.Compact(runs))
}

// trainRow trains one network. What cannot be trained, for want of a label, is a
// row with a problem.
func trainRow(ctx context.Context, cfg *Config, p halves, parts []halves) (MatrixRow, error) {
	t := cfg.Matrix.Train
	t.Hidden, t.Seed = cfg.Model.Hidden(), cfg.Seed
	if n := p.train.Count(); cfg.Matrix.Balanced && n[0] > 0 && n[1] > 0 {
		t.ClassWeights = mlp.BalancedWeights(p.train)
	}
	m, history, err := mlp.Train(ctx, t, p.train)
	if ctx.Err() != nil {
		return MatrixRow{}, ctx.Err()
	}
	if err != nil {
		row := MatrixRow{Trained: p.load, Problem: err.Error()}
		for range parts {
			row.Cells = append(row.Cells, noCell)
		}
		return row, nil
	}
	if cfg.Log != nil {
		cfg.Log(fmt.Sprintf("load matrix: trained on %s: %s, %s", name(p.load), number.Of(p.train.Rows(), "row"), number.Of(len(history.Epochs), "epoch")))
	}
	row, err := matrixRow(p.load, m, parts)
	row.Epochs = len(history.Epochs)
	return row, err
}

func matrixRow(trained string, m *mlp.Model, parts []halves) (MatrixRow, error) {
	row := MatrixRow{Trained: trained}
	for _, p := range parts {
		if p.test.Rows() == 0 { // of one row none can be held out
			row.Cells = append(row.Cells, noCell)
			continue
		}
		e, err := mlp.Evaluate(m, p.test)
		if err != nil {
			return row, fmt.Errorf("load %s: %w", name(p.load), err)
		}
		guarded, outside, err := p.guarded(m)
		if err != nil {
			return row, err
		}
		row.Cells = append(row.Cells, MatrixCell{number.Num(e.Accuracy()), number.Num(e.Balanced()), number.Num(e.Recall(mlp.Stay)), number.Num(e.Majority()), number.Num(e.Loss),
			number.Num(guarded.Balanced()), number.Share(outside, guarded.Rows())})
	}
	return row, nil
}

// guarded judges the network as mllbd asks it: of what is outside its training
// ranges the rule of 6.12 decides. It returns how many those are.
func (p *halves) guarded(m *mlp.Model) (c mlp.Confusion, outside int, err error) {
	net, err := mlp.NewFloat(m)
	if err != nil {
		return c, 0, err
	}
	for i, y := range p.test.Y {
		x := p.test.Row(i)
		said := p.rule[i]
		if inRange(m.Ranges, x) {
			said = answer(net.Migrate(net.Logit(x)))
		} else {
			outside++
		}
		c.Add(y, said)
	}
	return c, outside, nil
}

// inRange is mlp.Bounds.InRange in floating point.
func inRange(ranges []mlp.Range, x []float32) bool {
	for k, r := range ranges {
		if float64(x[k]) < r[0] || float64(x[k]) > r[1] {
			return false
		}
	}
	return true
}
