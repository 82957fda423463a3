// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/learn/train"
	"mllb/mlp"
)

// trainReport is what `mllb train` says, and its JSON.
type trainReport struct {
	Set       string                     `json:"feature_set"`
	Digest    string                     `json:"dataset"`
	Rows      int                        `json:"rows"`
	Stay      int                        `json:"stay"`
	Migrate   int                        `json:"migrate"`
	Runs      int                        `json:"runs"`
	Kernels   []string                   `json:"kernels"`
	Sweep     *sweepReport               `json:"sweep,omitempty"`
	Holdout   string                     `json:"holdout,omitempty"`
	Trainings []trainingReport           `json:"trainings,omitempty"`
	Folds     map[string]train.Statistic `json:"folds,omitempty"`
	Pooled    map[string]float64         `json:"pooled,omitempty"` // all answers of the folds together
	Model     *modelReport               `json:"model,omitempty"`
	Doubt     string                     `json:"doubt,omitempty"` // whether it is of any use

	cv      bool
	results []*train.Result
}

type trainingReport struct {
	Seed      uint64             `json:"seed"`
	Rows      int                `json:"learned_from"`
	Held      []string           `json:"held_out,omitempty"`
	Epochs    int                `json:"epochs"`
	Best      int                `json:"best_epoch"`
	Weights   [2]float64         `json:"class_weights"`
	Confusion [2][2]int          `json:"confusion"` // by label, answer
	Metrics   map[string]float64 `json:"metrics"`
}

type modelReport struct {
	File   string `json:"file"`
	Layers [3]int `json:"layers"`
}

func newTrainReport(c *trainCmd, src *train.Source) *trainReport {
	n := src.Data.Count()
	r := &trainReport{Set: src.Data.Set.Name, Digest: src.Digest, Rows: src.Data.Rows(), Stay: n[mlp.Stay], Migrate: n[mlp.Migrate],
		Runs: len(src.Runs), Kernels: src.Distinct(func(r *dataset.Run) string { return r.Kernel }), cv: c.CV > 0}
	if c.Import == "" {
		r.Holdout = c.Holdout
	}
	return r
}

// figures are the numbers that a training is judged by, in the order of the table.
var figures = []struct {
	name, title string
	of          func(r *train.Result) float64
	text        func(float64) string
}{
	{"majority", "majority", func(r *train.Result) float64 { return r.Judged.Majority() }, percent},
	{"accuracy", "accuracy", func(r *train.Result) float64 { return r.Judged.Accuracy() }, percent},
	{"balanced", "balanced", func(r *train.Result) float64 { return r.Judged.Balanced() }, percent},
	{"stay_recall", "stay found", func(r *train.Result) float64 { return r.Judged.Recall(mlp.Stay) }, percent},
	{"migrate_recall", "migrate found", func(r *train.Result) float64 { return r.Judged.Recall(mlp.Migrate) }, percent},
	{"loss", "loss", func(r *train.Result) float64 { return r.Judged.Loss }, func(x float64) string { return number.Num(x).String() }},
	{"fixed_float_agreement", "fixed=float", func(r *train.Result) float64 { return r.Agreement }, percent},
}

func (t *trainReport) add(results []*train.Result) {
	t.results = results
	for _, r := range results {
		metrics := r.Judged.Metrics()
		metrics["fixed_float_agreement"] = r.Agreement
		t.Trainings = append(t.Trainings, trainingReport{Seed: r.Seed, Rows: r.Rows, Held: r.Held, Epochs: len(r.History.Epochs),
			Best: r.History.Best + 1, Weights: r.Weights, Confusion: r.Judged.N, Metrics: metrics})
	}
	if !t.cv {
		t.Doubt = mlp.Doubt(t.metrics())
		return
	}
	t.Folds = make(map[string]train.Statistic)
	for _, f := range figures {
		if s := train.Over(results, f.of); s.N > 0 {
			t.Folds[f.name] = s
		}
	}
	t.Doubt = mlp.Doubt(t.metrics()) // of the folds
	pooled := mlp.Evaluation{Confusion: train.Pooled(results), Loss: math.NaN()}
	t.Pooled = pooled.Metrics()
}

// metrics are those of a model's provenance.
func (t *trainReport) metrics() map[string]float64 {
	if !t.cv {
		return t.Trainings[0].Metrics
	}
	m := map[string]float64{"cv_folds": float64(len(t.results))}
	for name, s := range t.Folds {
		m["cv_"+name], m["cv_"+name+"_sd"] = s.Mean, s.SD
	}
	return m
}

func (t *trainReport) model(path string, m *mlp.Model) {
	t.Model = &modelReport{path, [3]int{len(m.Set.Features), m.Hidden(), 1}}
}

func (t *trainReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(t)
	}
	fmt.Fprintf(w, "%s: %s (%d stay, %d migrate) of %s on %s; %.19s\n", t.Set, number.Of(t.Rows, "usable row"), t.Stay, t.Migrate, number.Of(t.Runs, "run"),
		strings.Join(t.Kernels, ", "), t.Digest)
	if t.Sweep != nil {
		t.Sweep.draw(w)
	}
	if len(t.results) > 0 {
		t.draw(w)
	}
	if t.Model != nil {
		fmt.Fprintf(w, "%s: %d-%d-%d\n", t.Model.File, t.Model.Layers[0], t.Model.Layers[1], t.Model.Layers[2])
	}
	if t.Doubt != "" {
		fmt.Fprintf(w, "warning: the model %s\n", t.Doubt)
	}
	return nil
}

func (t *trainReport) draw(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "\nseed\tlearned\tepochs\tjudged\tstay\t")
	for _, f := range figures {
		fmt.Fprintf(tw, "%s\t", f.title)
	}
	fmt.Fprintln(tw)
	for _, r := range t.results {
		stay := r.Judged.N[mlp.Stay][0] + r.Judged.N[mlp.Stay][1]
		fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%d\t", r.Seed, r.Rows, len(r.History.Epochs), r.Judged.Rows(), stay)
		for _, f := range figures {
			fmt.Fprintf(tw, "%s\t", f.text(f.of(r)))
		}
		fmt.Fprintln(tw)
	}
	if t.cv {
		mean, sd := "mean\t\t\t\t\t", "sd\t\t\t\t\t"
		for _, f := range figures {
			s := t.Folds[f.name]
			if s.N == 0 {
				s.Mean, s.SD = math.NaN(), math.NaN()
			}
			mean, sd = mean+f.text(s.Mean)+"\t", sd+f.text(s.SD)+"\t"
		}
		fmt.Fprintf(tw, "%s\n%s\n", mean, sd)
	}
	tw.Flush()
	fmt.Fprintln(w)
}

// percent is a share for people.
func percent(x float64) string { return number.Num(x).Percent(3) }
