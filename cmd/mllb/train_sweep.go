// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"mllb/internal/number"
	"mllb/learn/train"
)

// sweepReport is what a search found.
type sweepReport struct {
	File   string        `json:"file"`
	Trials []train.Trial `json:"trials"` // the best first
}

// sweep searches, and makes cfg the best that was found.
func (c *trainCmd) sweep(ctx context.Context, out output, cfg *train.Config, src *train.Source, report *trainReport) error {
	search := train.Search{Path: c.Sweep, Trials: c.Trials, Budget: c.Budget, Workers: c.Jobs}
	if c.Shards != "" {
		var err error
		if search.Known, err = c.shards().GatherTrials(*cfg, src, c.Trials); err != nil {
			return fmt.Errorf("--shards: %w", err)
		}
	}
	progress := newTrainProgress(out.stderr, "trial", c.Trials, cfg.Epochs)
	trials, err := train.Sweep(ctx, *cfg, src, search, progress.epoch)
	progress.End()
	if err != nil {
		return err
	}
	trials[0].Use(cfg)
	report.Sweep = &sweepReport{c.Sweep, trials}
	return nil
}

// bestTrials is how many trials a person is shown.
const bestTrials = 5

func (s *sweepReport) draw(w io.Writer) {
	fmt.Fprintf(w, "\n%s in %s; the best by validation loss:\n", number.Of(len(s.Trials), "trial"), s.File)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "trial\trate\tdecay\tbatch\tloss\tbalanced\tepochs\t")
	for _, t := range s.Trials[:min(bestTrials, len(s.Trials))] {
		loss, balanced := "diverged", "-"
		if t.Loss != nil {
			loss = number.Num(*t.Loss).String()
		}
		if t.Balanced != nil {
			balanced = percent(*t.Balanced)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%d\t%s\t%s\t%d\t\n", t.Number, number.Num(t.LearningRate), number.Num(t.Decay), t.Batch, loss, balanced, t.Epochs)
	}
	tw.Flush()
}
