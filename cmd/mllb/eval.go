// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"mllb/eval"
	"mllb/mlp"
)

type evalCmd struct {
	Files      []string `arg:"" optional:"" name:"data" help:"Datasets, seen as one."`
	Model      string   `placeholder:"FILE" help:"The model to judge; without it, the one that is built in."`
	Held       bool     `help:"Judge only the runs that the model says were held out of its training."`
	Explain    int      `placeholder:"N" help:"Print the N most costly mistakes."`
	Importance bool     `help:"Permute each feature, and say what that costs."`
	LoadMatrix bool     `help:"Train a network for each load, and judge each on every load."`
	Recipe     string   `default:"balanced" enum:"balanced,paper" help:"How --load-matrix trains: as the paper did, or scaled and with both labels weighed the same (balanced, paper)."`
	Seed       uint64   `default:"1" help:"Of permutations and of --load-matrix (${default})."`
	JSON       bool     `name:"json" help:"Print JSON instead of tables."`
	Trace      string   `placeholder:"FILE" help:"Instead of datasets: an ftrace file of sched_mllb_decision, from a kernel with mllb's patches. Each logit is computed again; one that differs by a bit is an error."`
	HTML       string   `name:"html" placeholder:"FILE" help:"Also write a report with figures, one file that needs no other."`
}

// maxExplain bounds what --explain keeps in memory.
const maxExplain = 10_000

// Run judges a model.
func (c *evalCmd) Run(ctx context.Context, out output) error {
	if c.Trace != "" {
		return c.trace(out)
	}
	if len(c.Files) == 0 {
		return usagef("eval: no data: give a dataset, or a trace with --trace")
	}
	if c.Explain < 0 || c.Explain > maxExplain {
		return usagef("eval: --explain %d is not in 0..%d", c.Explain, maxExplain)
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
	if c.HTML != "" {
		if err := writeReport(c.HTML, r); err != nil {
			return err
		}
	}
	if c.JSON {
		enc := json.NewEncoder(out.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = r.Draw(out.stdout)
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

// writeReport writes the file, or leaves what was there.
func writeReport(path string, r *eval.Report) (err error) {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	err = errors.Join(r.HTML(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
