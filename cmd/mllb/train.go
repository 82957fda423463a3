// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mllb/internal/namedfile"
	"mllb/learn/train"
	"mllb/mlp"
)

// trainCmd has the paper's procedure (section 4) as its defaults.
type trainCmd struct {
	Data []string `arg:"" name:"data" help:"Datasets, treated as one."`
	Out  string   `placeholder:"FILE" help:"Write the model to FILE. With --cv it is trained on all rows; otherwise it is evaluated on the rows held out."`

	Features    string  `default:"locality17" placeholder:"SET" help:"Feature set (${default})."`
	Hidden      int     `default:"10" help:"Number of hidden neurons (${default})."`
	LR          float64 `name:"lr" default:"3e-4" help:"Adam's learning rate (${default})."`
	Decay       float64 `default:"3e-6" help:"Learning rate decay: step t uses the rate divided by 1 + decay*t (${default})."`
	Batch       int     `default:"64" help:"Batch size, in rows (${default})."`
	Epochs      int     `default:"1000" help:"Maximum number of passes over the rows (${default})."`
	Patience    int     `default:"10" help:"Stop after this many passes that did not lower the validation loss by more than --min-delta (${default})."`
	MinDelta    float64 `default:"1e-5" help:"Smallest decrease of the validation loss that counts, in nats (${default})."`
	Validation  float64 `default:"0.1" help:"Share of the training rows that is kept for validation (${default})."`
	ClassWeight string  `default:"none" placeholder:"none|balanced|STAY,MIGRATE" help:"Weights of the two labels in the loss: equal (none), such that both labels count the same in total (balanced), or two numbers (${default})."`
	Scale       bool    `help:"Scale counts and loads to the same size during training; the model stays in raw units."`
	Seed        uint64  `default:"1" help:"Random seed: the same seed and data give the same model, bit for bit (${default})."`

	Holdout  string  `default:"run" enum:"run,load,random,none" help:"What to hold out as a whole for evaluation: runs, loads, rows as in the paper (random), or nothing (none) (${default})."`
	Fraction float64 `default:"0.1" help:"Minimum share of the rows to hold out (${default})."`
	CV       int     `name:"cv" placeholder:"N" help:"Monte Carlo cross-validation: train N times, each time with different rows held out."`
	Jobs     int     `placeholder:"N" help:"Number of concurrent trainings. Default: the number of CPUs."`

	Sweep  string        `placeholder:"FILE" help:"First search the ranges of the paper's table 1 for the best rate, decay and batch. Trials are kept in FILE, from which a search resumes."`
	Trials int           `default:"30" help:"Number of trials of a search, including those in FILE (${default})."`
	Budget time.Duration `placeholder:"DURATION" help:"Start no more trials after this time, such as 20m."`

	Shard  train.Shard `placeholder:"I/N" help:"Train only share I of N of the folds of --cv, or of the trials of --sweep, and keep what comes of it in --shards."`
	Shards string      `placeholder:"DIR" help:"Directory of what shards found. Without --shard, do not train folds or trials: gather those of all shards, which must be there."`

	Import  string `placeholder:"FILE" help:"Do not train: evaluate the model in FILE, made elsewhere, on all rows, and write it."`
	Figures string `placeholder:"DIR" help:"Write loss.svg and loss.png, the loss by batch, to DIR."`
	JSON    bool   `name:"json" help:"Print the results as JSON."`
	forceFlag
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
	if err := c.checkOutputs(); err != nil {
		return err
	}
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
	if c.Shard.Of > 0 {
		return c.shard(ctx, out, cfg, src)
	}
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

// checkOutputs finds out before the work what cannot be written.
func (c *trainCmd) checkOutputs() error {
	if err := namedfile.CheckNew(c.Out, c.Force, slices.Concat(c.Data, []string{c.Sweep, c.Import})...); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := namedfile.Check(c.Sweep, c.Data...); err != nil { // which it resumes
		return fmt.Errorf("--sweep: %w", err)
	}
	if err := c.checkShards(); err != nil {
		return err
	}
	if c.Figures != "" {
		if err := train.CheckFigure(c.Figures, c.Force); err != nil {
			return fmt.Errorf("--figures: %w", err)
		}
	}
	return nil
}

// train trains once, or for cross-validation, and writes what was asked for.
func (c *trainCmd) train(ctx context.Context, out output, cfg train.Config, src *train.Source, report *trainReport) error {
	results, err := c.results(ctx, out, cfg, src)
	if err != nil {
		return err
	}
	report.add(results)
	if c.Figures != "" {
		if err := train.Figure(ctx, c.Figures, c.Force, results); err != nil {
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
		progress.End()
		if err != nil {
			return fmt.Errorf("learn from all rows: %w", err)
		}
	}
	m := last.Model
	m.Provenance = c.provenance(cfg, src, last, report)
	if err := namedfile.WriteNew(ctx, c.Out, c.Force, m.Save); err != nil {
		return fmt.Errorf("--out: %w", err)
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
	if c.CV > 0 && c.Shards != "" {
		results, err := c.shards().GatherFolds(cfg, src, folds)
		if err != nil {
			return nil, fmt.Errorf("--shards: %w", err)
		}
		return results, nil
	}
	progress := newTrainProgress(out.stderr, what, folds, cfg.Epochs)
	defer progress.End()
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
		return cfg, usagef("train: at least one of --out, --cv, --sweep is required")
	case c.CV < 0 || c.Jobs < 0 || c.Trials < 1 || c.Budget < 0:
		return cfg, usagef("train: --cv, --jobs and --budget must not be negative, --trials must be at least 1")
	case c.Import != "" && (c.CV > 0 || c.Sweep != "" || c.Figures != ""):
		return cfg, usagef("train: --import does not train: it excludes --cv, --sweep and --figures")
	case c.Import != "" && c.Out == "":
		return cfg, usagef("train: --import requires --out")
	case !(c.Fraction > 0 && c.Fraction < 1):
		return cfg, usagef("train: --fraction %g is not between 0 and 1", c.Fraction)
	case c.CV > 0 && c.Holdout == string(train.Nothing):
		return cfg, usagef("train: --cv needs rows held out: not with --holdout none")
	}
	if err := c.sharded(); err != nil {
		return cfg, err
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
		fmt.Fprintf(out.stderr, "mllb: train: features that are the same in every row teach nothing: %s\n", strings.Join(names, ", "))
	}
}
