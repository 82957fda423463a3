// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mllb/mlp"
	"mllb/train"
)

// trainCmd has the paper's procedure (section 4) as its defaults.
type trainCmd struct {
	Data []string `arg:"" name:"data" help:"Datasets, seen as one."`
	Out  string   `placeholder:"FILE" help:"The model file to write. With --cv it is learned from all rows; without, judged by the rows held out."`

	Features    string  `default:"locality17" placeholder:"SET" help:"The feature set (${default})."`
	Hidden      int     `default:"10" help:"Hidden neurons (${default})."`
	LR          float64 `name:"lr" default:"3e-4" help:"Adam's learning rate (${default})."`
	Decay       float64 `default:"3e-6" help:"Step t uses the rate divided by 1 + decay*t (${default})."`
	Batch       int     `default:"64" help:"Rows in a batch (${default})."`
	Epochs      int     `default:"1000" help:"Passes over the rows at the most (${default})."`
	Patience    int     `default:"10" help:"Stop after so many passes that did not lower the validation loss by more than --min-delta (${default})."`
	MinDelta    float64 `default:"1e-5" help:"What counts as lower, in nats (${default})."`
	Validation  float64 `default:"0.1" help:"The part of the rows learned from that says when to stop (${default})."`
	ClassWeight string  `default:"none" placeholder:"none|balanced|STAY,MIGRATE" help:"What a row of each label counts: the same, as much as all of the other label together, or two numbers (${default})."`
	Scale       bool    `help:"Scale counts and loads to the same size while learning; the model is of the same kind."`
	Seed        uint64  `default:"1" help:"Of everything drawn: the same seed and data give the same model, bit for bit (${default})."`

	Holdout  string  `default:"run" enum:"run,load,random,none" help:"What is held out whole to judge with: runs, loads, rows as the paper does (random), or nothing (none) (${default})."`
	Fraction float64 `default:"0.1" help:"The part of the rows to hold out at least (${default})."`
	CV       int     `name:"cv" placeholder:"N" help:"Monte Carlo cross-validation: train N times, each time with other rows held out."`
	Jobs     int     `placeholder:"N" help:"Train so many at once (as many as there are CPUs)."`

	Sweep  string        `placeholder:"FILE" help:"First search the ranges of the paper's table 1 for the best rate, decay and batch. FILE keeps the trials; one that is there is gone on with."`
	Trials int           `default:"30" help:"Trials of a search, those in FILE included (${default})."`
	Budget time.Duration `placeholder:"DURATION" help:"Start no further trial after this time, such as 20m."`

	Import  string `placeholder:"FILE" help:"Learn nothing: judge the model in FILE, made elsewhere, on all rows, and write it."`
	Figures string `placeholder:"DIR" help:"Write loss.svg and loss.png there: the loss against batches."`
	JSON    bool   `name:"json" help:"Print the results as JSON."`
}

// Run trains, and judges.
func (c *trainCmd) Run(ctx context.Context, out output) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err = c.run(ctx, out, cfg); err != nil && ctx.Err() != nil {
		return interrupted{err} // what a search has tried is kept
	}
	return err
}

func (c *trainCmd) run(ctx context.Context, out output, cfg train.Config) error {
	if c.Import != "" {
		return c.importModel(ctx, out)
	}
	set, err := lookupSet(c.Features)
	if err != nil {
		return err
	}
	src, err := train.Open(ctx, set, c.Data...)
	if err != nil {
		return err
	}
	c.warn(out, src)
	report := newTrainReport(c, src)
	if c.Sweep != "" {
		if err := c.sweep(ctx, out, &cfg, src, report); err != nil {
			return err
		}
	}
	if c.Out != "" || c.CV > 0 {
		if err := c.train(ctx, out, cfg, src, report); err != nil {
			return err
		}
	}
	return report.write(out.stdout, c.JSON)
}

// train trains once, or for cross-validation, and writes what was asked for.
func (c *trainCmd) train(ctx context.Context, out output, cfg train.Config, src *train.Source, report *trainReport) error {
	results, err := c.results(ctx, out, cfg, src)
	if err != nil {
		return err
	}
	report.add(results)
	if c.Figures != "" {
		if err := train.Figure(c.Figures, results); err != nil {
			return err
		}
	}
	if c.Out == "" {
		return nil
	}
	last := results[0]
	if c.CV > 0 {
		cfg.Holdout = train.Nothing
		progress := newTrainProgress(out.stderr, "model", 1, cfg.Epochs)
		cfg.Progress = func(e mlp.Epoch) { progress.epoch(0, e, false) }
		last, err = train.Once(ctx, cfg, src)
		progress.end()
		if err != nil {
			return fmt.Errorf("learn from all rows: %w", err)
		}
	}
	m := last.Model
	m.Provenance = c.provenance(cfg, src, last, report)
	if err := saveModel(m, c.Out); err != nil {
		return err
	}
	report.model(c.Out, m)
	return nil
}

func (c *trainCmd) results(ctx context.Context, out output, cfg train.Config, src *train.Source) ([]*train.Result, error) {
	what := "fold"
	if c.CV == 0 {
		what = "model"
	}
	folds := max(c.CV, 1)
	progress := newTrainProgress(out.stderr, what, folds, cfg.Epochs)
	defer progress.end()
	if c.CV > 0 {
		return train.CrossValidate(ctx, cfg, src, folds, c.Jobs, progress.epoch)
	}
	cfg.Progress = func(e mlp.Epoch) { progress.epoch(0, e, false) }
	r, err := train.Once(ctx, cfg, src)
	return []*train.Result{r}, err
}

// config checks the flags that kong cannot.
func (c *trainCmd) config() (cfg train.Config, err error) {
	switch {
	case c.Out == "" && c.CV == 0 && c.Sweep == "":
		return cfg, usagef("train: give --out, --cv or --sweep, or nothing comes of it")
	case c.CV < 0 || c.Jobs < 0 || c.Trials < 1 || c.Budget < 0:
		return cfg, usagef("train: --cv, --jobs, --trials and --budget count something")
	case c.Import != "" && (c.CV > 0 || c.Sweep != "" || c.Figures != ""):
		return cfg, usagef("train: --import learns nothing: no --cv, --sweep or --figures with it")
	case c.Import != "" && c.Out == "":
		return cfg, usagef("train: --import writes the model to --out")
	case !(c.Fraction > 0 && c.Fraction < 1):
		return cfg, usagef("train: --fraction %g is not between 0 and 1", c.Fraction)
	case c.CV > 0 && c.Holdout == string(train.Nothing):
		return cfg, usagef("train: --cv judges on rows held out: not with --holdout none")
	}
	cfg.TrainConfig = mlp.PaperConfig()
	cfg.Hidden, cfg.LearningRate, cfg.Decay, cfg.Batch = c.Hidden, c.LR, c.Decay, c.Batch
	cfg.Epochs, cfg.Patience, cfg.MinDelta, cfg.Validation = c.Epochs, c.Patience, c.MinDelta, c.Validation
	cfg.Scale, cfg.Seed = c.Scale, c.Seed
	cfg.Holdout, cfg.Fraction = train.Unit(c.Holdout), c.Fraction
	switch c.ClassWeight {
	case "none":
	case "balanced":
		cfg.Balanced = true
	default:
		if cfg.ClassWeights, err = parseWeights(c.ClassWeight); err != nil {
			return cfg, usageError{err}
		}
	}
	if err := cfg.Check(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

func parseWeights(s string) (w [2]float64, err error) {
	stay, migrate, ok := strings.Cut(s, ",")
	for i, text := range []string{stay, migrate} {
		x, e := strconv.ParseFloat(text, 64)
		ok = ok && e == nil && x > 0 && !math.IsInf(x, 1)
		w[i] = x
	}
	if !ok {
		return w, fmt.Errorf("train: --class-weight %q: want none, balanced or two numbers above 0 such as 20,1", s)
	}
	return w, nil
}

// warn names the features that nothing can be learned of.
func (c *trainCmd) warn(out output, src *train.Source) {
	names, values := src.Constant()
	for i := range names {
		names[i] += fmt.Sprintf(" (%g)", values[i])
	}
	if len(names) > 0 {
		fmt.Fprintf(out.stderr, "mllb: train: the same in every row, so nothing is learned of it: %s\n", strings.Join(names, ", "))
	}
}
