// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"mllb/internal/namedfile"
	"mllb/internal/version"
	"mllb/learn/eval"
	"mllb/mlp"
)

type evalCmd struct {
	Files      []string `arg:"" optional:"" name:"data" help:"Datasets, treated as one."`
	Model      string   `placeholder:"FILE" help:"Model to evaluate. Default: the built-in one."`
	Held       bool     `help:"Evaluate only on the runs that were held out of the training of the model."`
	Explain    int      `placeholder:"N" help:"Print the N most costly mistakes."`
	Importance bool     `help:"Permute each feature and print what that costs."`
	LoadMatrix bool     `help:"Train a network on each load and evaluate each on every load."`
	Recipe     string   `default:"balanced" enum:"balanced,paper" help:"How --load-matrix trains: as the paper did (paper), or with features scaled and both labels weighted equally (balanced)."`
	Seed       uint64   `default:"1" help:"Random seed of --importance and --load-matrix (${default})."`
	Full       bool     `help:"Print everything: all judges, every breakdown, calibration and fractional bits."`
	JSON       bool     `name:"json" help:"Print JSON instead of tables."`
	Trace      string   `placeholder:"FILE" help:"Instead of datasets, read an ftrace file of sched_mllb_decision, from a kernel with mllb's patches. Each logit is recomputed; one that differs in any bit is an error."`
	HTML       string   `name:"html" placeholder:"FILE" help:"Also write a self-contained report with figures."`
	forceFlag
}

// maxExplain bounds what --explain keeps in memory.
const maxExplain = 10_000

// Run judges a model.
func (c *evalCmd) Run(ctx context.Context, out output) error {
	if c.Trace != "" {
		return c.trace(out)
	}
	if len(c.Files) == 0 {
		return usagef("eval: no data: at least one dataset, or --trace, is required")
	}
	if c.Explain < 0 || c.Explain > maxExplain {
		return usagef("eval: --explain %d is not in 0..%d", c.Explain, maxExplain)
	}
	if err := namedfile.CheckNew(c.HTML, c.Force, slices.Concat(c.Files, []string{c.Model})...); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	cfg := eval.Config{Name: c.Model, Held: c.Held, Mistakes: c.Explain, Importance: c.Importance, Seed: c.Seed,
		Log: func(line string) { fmt.Fprintln(out.stderr, line) }}
	if c.LoadMatrix {
		cfg.Matrix = recipe(c.Recipe)
	}
	var err error
	if c.Model == "" {
		cfg.Name = "built-in"
		cfg.Model, err = mlp.Default()
	} else {
		cfg.Model, err = mlp.LoadFile(c.Model)
	}
	if err != nil {
		return err
	}
	r, err := eval.Run(ctx, cfg, c.Files...)
	if err != nil {
		return err
	}
	r.Version = version.Read().String()
	if c.HTML != "" {
		if err := namedfile.WriteNew(ctx, c.HTML, c.Force, r.HTML); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if c.JSON {
		enc := json.NewEncoder(out.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = r.Draw(out.stdout, c.Full)
	}
	if err != nil {
		return fmt.Errorf("write evaluation: %w", err)
	}
	return nil
}

func recipe(name string) *eval.Recipe {
	r := &eval.Recipe{Name: name, Train: mlp.PaperConfig()}
	if name == "balanced" {
		r.Balanced, r.Train.Scale = true, true
	}
	return r
}
