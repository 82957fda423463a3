// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mllb/dataset"
	"mllb/features"
)

type datasetCmd struct {
	Info   datasetInfoCmd   `cmd:"" help:"Show what files hold: counts, labels, ranges, distributions; or heal one."`
	Check  datasetCheckCmd  `cmd:"" help:"Replay the kernel's own rule on every usable record, and print what disagrees."`
	Merge  datasetMergeCmd  `cmd:"" help:"Write the rows of several files into one."`
	Split  datasetSplitCmd  `cmd:"" help:"Divide files into rows to train on and rows held out."`
	Export datasetExportCmd `cmd:"" help:"Write rows as CSV."`
}

type datasetInfoCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets, seen as one."`
	Features string   `default:"locality17" placeholder:"SET" help:"The feature set to show the distributions of (${default})."`
	JSON     bool     `name:"json" help:"Print JSON instead of pictures."`
	Repair   bool     `help:"First finish files whose collection was killed."`
}

// Run shows files, healed first if that is asked for.
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
	case h == dataset.Healed{}:
		fmt.Fprintf(stderr, "%s: nothing to repair\n", path)
	case h.Torn > 0:
		fmt.Fprintf(stderr, "%s: repaired: %d rows of %d segments; %d torn segments were dropped\n", path, h.Rows, h.Segments, h.Torn)
	default:
		fmt.Fprintf(stderr, "%s: repaired: %d rows of %d segments\n", path, h.Rows, h.Segments)
	}
	return nil
}

type datasetMergeCmd struct {
	Files []string `arg:"" name:"file" help:"Datasets to merge, in this order."`
	Out   string   `required:"" placeholder:"FILE" help:"The file to write; it must not be there."`
}

// Run merges files.
func (c *datasetMergeCmd) Run(ctx context.Context, out output) error {
	n, err := dataset.Merge(ctx, c.Out, version(), c.Files...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stderr, "%s: %d rows of %d files\n", c.Out, n, len(c.Files))
	return nil
}

type datasetSplitCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets to divide, seen as one."`
	By       string   `default:"run" enum:"run,load,time" help:"What is held out whole: runs, loads, or the end of each run (run, load, time)."`
	Out      string   `required:"" placeholder:"DIR|PREFIX" help:"Write DIR/train.parquet and DIR/holdout.parquet, or PREFIX-train.parquet and PREFIX-holdout.parquet."`
	Fraction float64  `default:"0.2" help:"The part of the rows to hold out at least (${default})."`
	Seed     uint64   `default:"1" help:"Which runs or loads are drawn (${default})."`
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
		Train: prefix + "train.parquet", Holdout: prefix + "holdout.parquet", CreatedBy: version(),
	}
	p, err := s.Write(ctx, c.Files...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %d rows\n%s: %d rows\n", s.Train, p.Train, s.Holdout, p.Holdout)
	for _, unit := range p.Held {
		fmt.Fprintf(out.stdout, "held out: %s %s\n", c.By, unit)
	}
	return nil
}

type datasetExportCmd struct {
	Files    []string `arg:"" name:"file" help:"Datasets."`
	CSV      bool     `name:"csv" required:"" help:"As CSV, the one format there is."`
	Features string   `placeholder:"SET" help:"The label and the features of this set, of usable rows, instead of all columns of all rows."`
	Out      string   `placeholder:"FILE" help:"Write to FILE, which must not be there, instead of standard output."`
}

// Run exports files.
func (c *datasetExportCmd) Run(ctx context.Context, out output) (err error) {
	var set *features.Set
	if c.Features != "" {
		if set, err = lookupSet(c.Features); err != nil {
			return err
		}
	}
	if c.Out == "" {
		return dataset.ExportCSV(ctx, out.stdout, set, c.Files...)
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err = errors.Join(dataset.ExportCSV(ctx, f, set, c.Files...), f.Close()); err != nil {
		if rm := os.Remove(c.Out); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// lookupSet is features.Lookup of what somebody typed.
func lookupSet(name string) (*features.Set, error) {
	set, err := features.Lookup(name)
	if err != nil {
		return nil, usageError{err}
	}
	return set, nil
}
