// SPDX-License-Identifier: Apache-2.0

// Package eval judges a model on recorded decisions, beside the rules that it
// has to beat or to match.
package eval

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// Who is judged, in the order of Report.Scores.
const (
	judgeFloat   = iota // the network in single precision
	judgeFixed          // the network in Q21.11, which is what runs
	judgeAlways         // the majority baseline
	judge415            // the rule of the paper's kernel
	judgeCFS            // the rule of 6.12
	judgeGuarded        // fixed within the model's training ranges, the rule of 6.12 outside, as mllbd asks them
	numJudges
)

var judges = [numJudges]string{"float", "fixed", "always", scheduler.CFS415{}.Name(), scheduler.CFS{}.Name(), "guarded"}

// rules are the judges that are policies.
var rules = []struct {
	judge  int
	policy scheduler.Policy
}{{judgeAlways, scheduler.Always{}}, {judge415, scheduler.CFS415{}}, {judgeCFS, scheduler.CFS{}}}

// Config says what to evaluate.
type Config struct {
	Model    *mlp.Model
	Name     string // of the model: its file
	Held     bool   // judge only the runs that the model's provenance names as held out
	Mistakes int    // how many to explain

	Importance bool         // permute each feature
	Matrix     *Recipe      // train for each load and test on each; nil: no
	Seed       uint64       // of permutations and of the matrix
	Log        func(string) // progress of what takes long; may be nil
}

// tally counts the answers of every judge.
type tally [numJudges]mlp.Confusion

// answers is those of the first n judges.
func (t *tally) answers(n int) []Answers {
	a := make([]Answers, n)
	for j := range a {
		a[j] = answers(judges[j], &t[j])
	}
	return a
}

// evaluation is one pass over the rows. What grows with them are the logits, and
// the columns that permutation and training need.
type evaluation struct {
	cfg    *Config
	set    *features.Set
	float  *mlp.Float
	fixed  *mlp.Fixed
	bounds *mlp.Bounds // nil: the model has no ranges
	held   map[string]bool

	records   int64
	groups    *groups
	widths    []*width
	agreement agreement
	floats    [2][]float32 // logits by label
	fixeds    [2][]int32
	trust     [2]reliability // of float and fixed
	mistakes  mistakes
	columns   columns   // if Config.Importance
	loads     *loadData // if Config.Matrix

	x      []float32
	vector features.Vector
	ratios []fraction
}

// Run judges the model on the usable rows of the files.
func Run(ctx context.Context, cfg Config, paths ...string) (*Report, error) {
	e, err := newEvaluation(&cfg)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	err = dataset.Each(ctx, paths, func(path string, n int64, r *dataset.Row) error {
		e.records++
		if r.Usable() && (!cfg.Held || e.held[r.Run.ID]) {
			e.add(path, n, r)
		}
		return nil
	})
	if err == nil {
		err = e.check(paths)
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	r := e.report(paths)
	if cfg.Importance {
		if r.Importance, err = e.columns.permute(ctx, e.fixed, e.set, cfg.Seed); err != nil {
			return nil, fmt.Errorf("eval: permutation importance: %w", err)
		}
	}
	if cfg.Matrix != nil {
		if r.Matrix, err = e.loads.matrix(ctx, &cfg); err != nil {
			return nil, fmt.Errorf("eval: load matrix: %w", err)
		}
	}
	return r, nil
}

func newEvaluation(cfg *Config) (*evaluation, error) {
	if cfg.Model == nil {
		return nil, errors.New("no model")
	}
	e := &evaluation{cfg: cfg, set: cfg.Model.Set, bounds: cfg.Model.Bounds(), held: make(map[string]bool), trust: [2]reliability{newReliability(), newReliability()}}
	for _, run := range cfg.Model.Provenance.Held {
		e.held[run] = true
	}
	if cfg.Held && len(e.held) == 0 {
		return nil, errors.New("the model names no runs that were held out")
	}
	e.groups = newGroups(e.bounds != nil, e.held)
	var err error
	if e.float, err = mlp.NewFloat(cfg.Model); err != nil {
		return nil, err
	}
	if e.fixed, err = mlp.NewFixed(cfg.Model); err != nil {
		return nil, err
	}
	for b := uint(minWidth); b <= maxWidth; b++ {
		e.widths = append(e.widths, newWidth(cfg.Model, b))
	}
	e.x = make([]float32, len(e.set.Features))
	e.mistakes.most = cfg.Mistakes
	if cfg.Matrix != nil {
		e.loads = newLoadData(e.set)
	}
	return e, nil
}

func (e *evaluation) check(paths []string) error {
	if e.agreement.rows > 0 {
		return nil
	}
	where := strings.Join(paths, ", ")
	if e.cfg.Held {
		return fmt.Errorf("no usable row in %s is of a run that the model held out (%s)", where, few(e.cfg.Model.Provenance.Held))
	}
	return fmt.Errorf("no usable row in %s: %s, and the locality rule decided none", where, number.Of(e.records, "record"))
}

// add judges one usable row.
func (e *evaluation) add(path string, n int64, r *dataset.Row) {
	y := answer(r.Migrate)
	e.set.Floats(e.x, &r.Decision)
	e.set.Fill(&e.vector, &r.Decision)
	float, fixed := e.float.Logit(e.x), e.fixed.Logit(&e.vector)
	said := [numJudges]uint8{judgeFloat: answer(e.float.Migrate(float)), judgeFixed: answer(e.fixed.Migrate(fixed))}
	for _, rule := range rules {
		said[rule.judge] = answer(rule.policy.Decide(&r.Decision).Migrate)
	}
	inRange := e.bounds.InRange(&e.vector)
	said[judgeGuarded] = said[judgeFixed]
	if !inRange {
		said[judgeGuarded] = said[judgeCFS]
	}
	group := e.groups.of(r, inRange)
	for j, a := range said {
		e.groups.at.all[j].Add(y, a)
		for _, g := range group {
			g[j].Add(y, a)
		}
	}
	e.floats[y], e.fixeds[y] = append(e.floats[y], float), append(e.fixeds[y], fixed)
	e.trust[judgeFloat].add(float64(float), y)
	e.trust[judgeFixed].add(features.ToFloat(fixed), y)
	e.agreement.add(float64(float), features.ToFloat(fixed), said[judgeFloat] == said[judgeFixed])
	e.addWidths(&r.Decision, y, said[judgeFloat], float64(float))
	if said[judgeFixed] != y {
		e.mistakes.add(path, n, r, features.ToFloat(fixed), said, e.outside)
	}
	if e.cfg.Importance {
		e.columns.add(&e.vector, y)
	}
	if e.loads != nil {
		e.loads.add(r, y, said[judgeCFS])
	}
}

// outside names the features of the decision at hand that training never saw so.
func (e *evaluation) outside() (names []string) {
	for _, k := range e.cfg.Model.OutOfRange(&e.vector) {
		names = append(names, e.set.Features[k].Name)
	}
	return names
}

func (e *evaluation) addWidths(d *features.Decision, label, said uint8, logit float64) {
	e.ratios = e.ratios[:0]
	for i := range e.set.Features {
		if f := &e.set.Features[i]; f.Kind == features.Ratio {
			num, den := f.Value(d)
			e.ratios = append(e.ratios, fraction{num, den})
		}
	}
	for _, w := range e.widths {
		w.add(e.vector.Bits, e.ratios, label, said, logit)
	}
}

// few names the first three.
func few(names []string) string {
	if more := len(names) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), more)
	}
	return strings.Join(names, ", ")
}
