// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"mllb/internal/namedfile"
	"mllb/learn/dataset"
	"mllb/learn/train"
	"mllb/mlp"
)

// provenance says where the model comes from. Its metrics are those of the rows
// that were held out from it; with --cv, of models that were made like it.
func (c *trainCmd) provenance(cfg train.Config, src *train.Source, r *train.Result, report *trainReport) mlp.Provenance {
	rows := src.Data.Count()
	return mlp.Provenance{
		Source: fmt.Sprintf("%d decisions of can_migrate_task (%d stay, %d migrate) of %d runs; learned from %d of them",
			src.Data.Rows(), rows[mlp.Stay], rows[mlp.Migrate], len(src.Runs), r.Rows),
		Dataset:  src.Digest,
		Kernel:   strings.Join(src.Distinct(func(r *dataset.Run) string { return r.Kernel }), ", "),
		Topology: strings.Join(src.Distinct(func(r *dataset.Run) string { return r.Topology }), ", "),
		Seed:     cfg.Seed,
		Command:  c.command(cfg),
		Held:     r.Held,
		Metrics:  report.metrics(),
	}
}

// command makes the same model again: what a search found is written out.
func (c *trainCmd) command(cfg train.Config) string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	args := []string{"mllb", "train", "--features", c.Features, "--hidden", strconv.Itoa(cfg.Hidden), "--lr", number(cfg.LearningRate),
		"--decay", number(cfg.Decay), "--batch", strconv.Itoa(cfg.Batch), "--epochs", strconv.Itoa(cfg.Epochs),
		"--patience", strconv.Itoa(cfg.Patience), "--min-delta", number(cfg.MinDelta), "--validation", number(cfg.Validation), "--class-weight", c.ClassWeight,
		"--seed", strconv.FormatUint(cfg.Seed, 10)}
	if cfg.Scale {
		args = append(args, "--scale")
	}
	if args = append(args, "--holdout", c.Holdout); c.Holdout != string(train.Nothing) {
		args = append(args, "--fraction", number(cfg.Fraction))
	}
	if c.CV > 0 {
		args = append(args, "--cv", strconv.Itoa(c.CV))
	}
	args = append(args, "--out", c.Out)
	return strings.Join(append(args, c.Data...), " ")
}

// importModel judges a model made elsewhere on all rows, and writes it with what
// it was found to do.
func (c *trainCmd) importModel(ctx context.Context, out output) error {
	m, err := mlp.LoadFile(c.Import)
	if err != nil {
		return err
	}
	src, err := train.Open(ctx, m.Set, c.Data...)
	if err != nil {
		return err
	}
	r := &train.Result{Model: m}
	if r.Judged, err = mlp.Evaluate(m, src.Data); err != nil {
		return err
	}
	if r.Agreement, err = mlp.Agreement(m, src.Data); err != nil {
		return err
	}
	report := newTrainReport(c, src)
	report.add([]*train.Result{r})
	if m.Provenance.Source == "" {
		m.Provenance.Source = "imported from " + filepath.Base(c.Import)
	}
	m.Provenance.Note = strings.TrimPrefix(m.Provenance.Note+fmt.Sprintf("; imported: metrics are of %d decisions, %s", src.Data.Rows(), src.Digest), "; ")
	m.Provenance.Metrics = report.metrics()
	if err := namedfile.WriteNew(ctx, c.Out, c.Force, m.Save); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	report.model(c.Out, m)
	return report.write(out.stdout, c.JSON)
}
