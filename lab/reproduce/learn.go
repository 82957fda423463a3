// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/learn/train"
	"mllb/mlp"
)

// recipe says how networks are trained and judged. It is a key of results.
type recipe struct {
	Set      string     `json:"set"`
	Balanced bool       `json:"balanced"` // both labels weigh the same, and counts are scaled while learning
	Holdout  train.Unit `json:"holdout"`
	Fraction float64    `json:"fraction"`
	Folds    int        `json:"folds,omitempty"`
	Epochs   int        `json:"epochs"`
	Seed     uint64     `json:"seed"`
	Data     []string   `json:"data"` // sums of groups
}

// config is the paper's but for what the recipe changes.
func (r *recipe) config() train.Config {
	cfg := train.Config{TrainConfig: mlp.PaperConfig(), Balanced: r.Balanced, Holdout: r.Holdout, Fraction: r.Fraction}
	cfg.Epochs, cfg.Seed, cfg.Scale = r.Epochs, r.Seed, r.Balanced
	return cfg
}

// String is the command that does the same, were every set one that it knows.
func (r *recipe) String() string {
	text := fmt.Sprintf("mllb train --features %q", r.Set)
	if r.Balanced {
		text += " --class-weight balanced --scale"
	}
	text += fmt.Sprintf(" --holdout %s --epochs %d --seed %d", r.Holdout, r.Epochs, r.Seed)
	if r.Folds > 0 {
		text += fmt.Sprintf(" --cv %d", r.Folds)
	}
	return text
}

// study is a cross-validation.
type study struct {
	Recipe   recipe                     `json:"recipe"`
	Group    string                     `json:"group"` // what it learned from
	Rows     int                        `json:"rows"`
	Stay     int                        `json:"stay"`
	Runs     int                        `json:"runs"`
	Digest   string                     `json:"digest"`
	Problem  string                     `json:"problem,omitempty"` // why there are no figures
	Figures  map[string]train.Statistic `json:"figures,omitempty"` // those that a fold has
	Pooled   [2][2]int                  `json:"pooled"`            // by label, answer: of all folds
	Epochs   train.Statistic            `json:"epochs"`
	Losses   string                     `json:"losses,omitempty"` // of the first fold, as SVG
	Constant []string                   `json:"constant,omitempty"`
}

// figures are what a fold is judged by.
var figures = map[string]func(r *train.Result) float64{
	"majority":  func(r *train.Result) float64 { return r.Judged.Majority() },
	"accuracy":  func(r *train.Result) float64 { return r.Judged.Accuracy() },
	"balanced":  func(r *train.Result) float64 { return r.Judged.Balanced() },
	"stay":      func(r *train.Result) float64 { return r.Judged.Recall(mlp.Stay) },
	"migrate":   func(r *train.Result) float64 { return r.Judged.Recall(mlp.Migrate) },
	"loss":      func(r *train.Result) float64 { return r.Judged.Loss },
	"agreement": func(r *train.Result) float64 { return r.Agreement },
}

// studySets are paper15, it with each of the two features that locality17 adds,
// and locality17.
func studySets() ([]*features.Set, error) {
	paper, err := features.Lookup("paper15")
	if err != nil {
		return nil, err
	}
	local, err := features.Lookup("locality17")
	if err != nil {
		return nil, err
	}
	sets := []*features.Set{paper}
	n := len(paper.Features)
	for _, f := range local.Features[n:] {
		sets = append(sets, &features.Set{Name: "paper15 + " + f.Name, Features: append(paper.Features[:n:n], f)})
	}
	return append(sets, local), nil
}

// paper is the paper's procedure: rows drawn at random are held out, every row
// counts the same. First on the paper's loads, then on all records.
func (s *session) paper(ctx context.Context) error {
	sets, err := studySets()
	if err != nil {
		return err
	}
	r := recipe{Holdout: train.ByRow, Fraction: 0.1}
	var groups [][]group
	for _, g := range s.corpus.Groups {
		if g.Kind == paperKind {
			groups = append(groups, []group{g})
		}
	}
	groups = append(groups, s.corpus.learned())
	for i, g := range groups {
		if err := s.study(ctx, r, sets[0], g, float64(i)/float64(len(groups)), 1/float64(len(groups))); err != nil {
			return err
		}
	}
	return nil
}

// folds holds runs out whole and has both labels weigh the same.
func (s *session) folds(ctx context.Context) error {
	sets, err := studySets()
	if err != nil {
		return err
	}
	r := recipe{Holdout: train.ByRun, Fraction: 0.1, Balanced: true}
	for i, set := range sets {
		if err := s.study(ctx, r, set, s.corpus.learned(), float64(i)/float64(len(sets)), 1/float64(len(sets))); err != nil {
			return err
		}
	}
	return nil
}

// learned are the groups that networks learn from.
func (c *corpus) learned() (all []group) {
	for _, g := range c.Groups {
		if g.Kind != laterKind {
			all = append(all, g)
		}
	}
	return all
}

// fill completes a recipe.
func (s *session) fill(r *recipe, set *features.Set, groups []group) (files []string, name string) {
	r.Set, r.Epochs, r.Seed = set.Name, s.cfg.Scale.Epochs, 1
	for _, g := range groups {
		r.Data = append(r.Data, g.SHA256)
		files = append(files, g.Files...)
	}
	if len(groups) == 1 {
		return files, groups[0].Name
	}
	return files, "all records"
}

// study cross-validates; from and share say which part of the step it is.
func (s *session) study(ctx context.Context, r recipe, set *features.Set, groups []group, from, share float64) error {
	files, name := s.fill(&r, set, groups)
	r.Folds = s.cfg.Scale.Folds
	result, err := once(s, fmt.Sprintf("folds-%s-%s", r.Holdout, strings.ReplaceAll(r.Set, " ", "")), r, nil, func() (study, error) {
		st := study{Recipe: r, Group: name}
		src, err := train.Open(ctx, set, files...)
		if err != nil {
			return st, err
		}
		n := src.Data.Count()
		st.Rows, st.Stay, st.Runs, st.Digest = src.Data.Rows(), n[mlp.Stay], len(src.Runs), src.Digest
		st.Constant, _ = src.Constant()
		done := 0
		results, err := train.CrossValidate(ctx, r.config(), src, r.Folds, 0, func(job int, e mlp.Epoch, ended bool) {
			if ended {
				done++
			}
			s.progress.tell(from+share*float64(done)/float64(r.Folds), "%s, %s: fold %d of %d, epoch %d, loss %.5f", set.Name, name, job+1, r.Folds, e.Number, e.Loss)
		})
		if ctx.Err() != nil {
			return st, ctx.Err()
		}
		if err != nil {
			st.Problem = err.Error()
			return st, nil
		}
		return st, st.fold(results)
	})
	s.studies = append(s.studies, result)
	return err
}

// fold fills in what the folds gave.
func (st *study) fold(results []*train.Result) (err error) {
	st.Figures = make(map[string]train.Statistic)
	for name, of := range figures {
		if x := train.Over(results, of); x.N > 0 {
			st.Figures[name] = x
		}
	}
	st.Epochs = train.Over(results, func(r *train.Result) float64 { return float64(len(r.History.Epochs)) })
	st.Pooled = train.Pooled(results).N
	st.Losses, err = losses(results[:1])
	return err
}

// losses draws the paper's Figure 2.
func losses(results []*train.Result) (string, error) {
	dir, err := os.MkdirTemp("", "mllb-reproduce-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := train.Figure(context.Background(), dir, false, results); err != nil {
		return "", err
	}
	svg, err := os.ReadFile(filepath.Join(dir, "loss.svg"))
	return string(svg), err
}

// figure is the mean of a figure over the folds; NaN without any.
func (st *study) figure(name string) float64 {
	if x, ok := st.Figures[name]; ok {
		return x.Mean
	}
	return math.NaN()
}

// trained are networks with locality17: one to judge, and one to run.
type trained struct {
	Held json.RawMessage `json:"held"` // a quarter of the runs were kept from it
	All  json.RawMessage `json:"all"`  // learned from all
}

// heldFraction is of the runs that the network of the tables never saw.
const heldFraction = 0.25

func (s *session) models(ctx context.Context) error {
	set, err := features.Lookup("locality17")
	if err != nil {
		return err
	}
	r := recipe{Holdout: train.ByRun, Fraction: heldFraction, Balanced: true}
	files, _ := s.fill(&r, set, s.corpus.learned())
	s.trained, err = once(s, "model", r, nil, func() (t trained, err error) {
		src, err := train.Open(ctx, set, files...)
		if err != nil {
			return t, err
		}
		if t.Held, err = s.model(ctx, r, src); err != nil {
			return t, err
		}
		r.Holdout = train.Nothing
		t.All, err = s.model(ctx, r, src)
		return t, err
	})
	return err
}

// model trains one network and returns its file.
func (s *session) model(ctx context.Context, r recipe, src *train.Source) (json.RawMessage, error) {
	cfg := r.config()
	cfg.Progress = func(e mlp.Epoch) {
		s.progress.tell(-1, "epoch %d, loss %.5f", e.Number, e.Loss)
	}
	result, err := train.Once(ctx, cfg, src)
	if err != nil {
		return nil, err
	}
	m := result.Model
	m.Provenance = mlp.Provenance{
		Source: fmt.Sprintf("%d of %d decisions of can_migrate_task, %s", result.Rows, src.Data.Rows(), number.Of(len(src.Runs), "run")), Dataset: src.Digest,
		Kernel: joined(src.Distinct(func(r *dataset.Run) string { return r.Kernel })), Topology: joined(src.Distinct(func(r *dataset.Run) string { return r.Topology })),
		Seed: r.Seed, Command: s.cfg.Command, Held: result.Held, Metrics: result.Judged.Metrics(),
	}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
