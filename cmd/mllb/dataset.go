// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/learn/dataset"
)

type datasetCmd struct {
	Info   datasetInfoCmd   `cmd:"" help:"Show counts, labels, ranges and distributions of files; or repair one."`
	Check  datasetCheckCmd  `cmd:"" help:"Replay the kernel's own rule on every usable record and print the disagreements."`
	Merge  datasetMergeCmd  `cmd:"" help:"Write the rows of several files into one."`
	Split  datasetSplitCmd  `cmd:"" help:"Split files into rows to train on and rows held out."`
	Export datasetExportCmd `cmd:"" help:"Write rows as CSV."`
}

type datasetInfoCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets, treated as one."`
	Features string   `default:"locality17" placeholder:"SET" help:"Feature set whose distributions are shown (${default})."`
	JSON     bool     `name:"json" help:"Print JSON instead of pictures."`
	Repair   bool     `help:"First repair files whose collection was killed."`
}

// Run shows files, repaired first if asked.
func (c *datasetInfoCmd) Run(ctx context.Context, out output) error {
	set, err := lookupSet(c.Features)
	if err != nil {
		return err
	}
	if c.Repair {
		for _, path := range c.Files {
			if err := repair(path, out.stderr); err != nil {
				return fmt.Errorf("repair: %w", err)
			}
		}
	}
	s, err := dataset.Summarize(ctx, set, c.Files...)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(s)
	} else {
		err = s.Draw(out.stdout)
	}
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

func repair(path string, stderr io.Writer) error {
	h, err := dataset.Repair(path)
	switch {
	case err != nil:
		return err
	case h == dataset.Repaired{}:
		fmt.Fprintf(stderr, "%s: nothing to repair\n", path)
	case h.Torn > 0:
		fmt.Fprintf(stderr, "%s: repaired: %s of %s; %s dropped\n", path, number.Of(h.Rows, "row"), number.Of(h.Segments, "segment"), number.Of(h.Torn, "torn segment"))
	default:
		fmt.Fprintf(stderr, "%s: repaired: %s of %s\n", path, number.Of(h.Rows, "row"), number.Of(h.Segments, "segment"))
	}
	return nil
}

type datasetMergeCmd struct {
	Files []string `arg:"" name:"file" help:"Datasets to merge, in this order."`
	Out   string   `required:"" placeholder:"FILE" help:"File to write."`
	forceFlag
}

// Run merges files.
func (c *datasetMergeCmd) Run(ctx context.Context, out output) error {
	if err := namedfile.CheckNew(c.Out, c.Force, c.Files...); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	n, err := dataset.Merge(ctx, c.Out, c.Force, createdBy("dataset merge"), c.Files...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stderr, "%s: %s of %s\n", c.Out, number.Of(n, "row"), number.Of(len(c.Files), "file"))
	return nil
}

type datasetSplitCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets to split, treated as one."`
	By       string   `default:"run" enum:"run,load,time" help:"What to hold out as a whole: runs, loads, or the end of each run (run, load, time)."`
	Out      string   `required:"" placeholder:"DIR|PREFIX" help:"Write DIR/train.parquet and DIR/holdout.parquet, or PREFIX-train.parquet and PREFIX-holdout.parquet."`
	Fraction float64  `default:"0.2" help:"Minimum share of the rows to hold out (${default})."`
	Seed     uint64   `default:"1" help:"Seed of the draw of runs or loads (${default})."`
	forceFlag
}

// Run divides files.
func (c *datasetSplitCmd) Run(ctx context.Context, out output) error {
	if !(c.Fraction > 0 && c.Fraction < 1) {
		return usagef("dataset split: --fraction %g is not between 0 and 1", c.Fraction)
	}
	prefix := c.Out + "-"
	if info, err := os.Stat(c.Out); err == nil && info.IsDir() {
		prefix = c.Out + string(filepath.Separator)
	}
	s := dataset.Split{
		By: dataset.Unit(c.By), Fraction: c.Fraction, Seed: c.Seed,
		Train: prefix + "train.parquet", Holdout: prefix + "holdout.parquet", Force: c.Force, CreatedBy: createdBy("dataset split"),
	}
	for _, path := range []string{s.Train, s.Holdout} {
		if err := namedfile.CheckNew(path, c.Force, c.Files...); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	p, err := s.Write(ctx, c.Files...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s\n%s: %s\n", s.Train, number.Of(p.Train, "row"), s.Holdout, number.Of(p.Holdout, "row"))
	for _, unit := range p.Held {
		fmt.Fprintf(out.stdout, "held out: %s %s\n", c.By, unit)
	}
	return nil
}

type datasetExportCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets."`
	CSV      bool     `name:"csv" hidden:""` // what it always does
	Features string   `placeholder:"SET" help:"Write the label and the features of this set, of usable rows, instead of all columns of all rows."`
	Out      string   `placeholder:"FILE" help:"Write to FILE instead of standard output."`
	forceFlag
}

// Run exports files.
func (c *datasetExportCmd) Run(ctx context.Context, out output) (err error) {
	if c.CSV {
		warnNeedless(out.stderr, "dataset export --csv", "CSV is what it writes")
	}
	var set *features.Set
	if c.Features != "" {
		if set, err = lookupSet(c.Features); err != nil {
			return err
		}
	}
	if c.Out == "" {
		return dataset.ExportCSV(ctx, out.stdout, set, c.Files...)
	}
	if err := namedfile.CheckNew(c.Out, c.Force, c.Files...); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return namedfile.WriteNew(ctx, c.Out, c.Force, func(w io.Writer) error {
		return dataset.ExportCSV(ctx, w, set, c.Files...)
	})
}

// lookupSet is features.Lookup of what somebody typed.
func lookupSet(name string) (*features.Set, error) {
	set, err := features.Lookup(name)
	if err != nil {
		return nil, usageError{err}
	}
	return set, nil
}
