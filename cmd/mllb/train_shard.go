// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/internal/version"
	"mllb/learn/train"
)

// sharded checks the flags of shards.
func (c *trainCmd) sharded() error {
	shard := c.Shard.Of > 0
	switch {
	case shard && c.Shards == "":
		return usagef("train: --shard requires --shards")
	case c.Shards != "" && (c.CV > 0) == (c.Sweep != ""):
		return usagef("train: --shards requires either --cv or --sweep")
	case shard && (c.Out != "" || c.Figures != "" || c.JSON):
		return usagef("train: --shard writes to --shards alone: --out, --figures and --json are for the call that gathers")
	}
	return nil
}

func (c *trainCmd) shards() train.Shards {
	return train.Shards{Dir: c.Shards, Program: version.Read().String()}
}

// checkShards finds out before the work whether the file of a shard can be written.
func (c *trainCmd) checkShards() error {
	if c.Shard.Of == 0 {
		return nil
	}
	if err := checkDir("--shards", c.Shards); err != nil {
		return err
	}
	var err error
	if c.CV > 0 {
		err = namedfile.CheckNew(c.shards().Folds(c.Shard), c.Force, c.Data...)
	} else {
		err = namedfile.Check(c.shards().Trials(c.Shard), c.Data...) // which it resumes
	}
	if err != nil {
		return fmt.Errorf("--shards: %w", err)
	}
	return nil
}

// shard trains one share, and writes what the others need of it.
func (c *trainCmd) shard(ctx context.Context, out output, cfg train.Config, src *train.Source) (err error) {
	to := c.shards()
	path, what, all, n := to.Folds(c.Shard), "fold", c.CV, 0
	if c.Sweep != "" {
		path, what, all = to.Trials(c.Shard), "trial", c.Trials
	}
	progress := newTrainProgress(out.stderr, what, c.Shard.Share(all), cfg.Epochs)
	if c.Sweep != "" {
		n, err = to.Sweep(ctx, cfg, src, train.Search{Trials: c.Trials, Budget: c.Budget, Workers: c.Jobs}, c.Shard, progress.epoch)
	} else {
		n, err = to.CrossValidate(ctx, cfg, src, c.CV, c.Shard, c.Force, c.Jobs, progress.epoch)
	}
	progress.End()
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s of %d\n", path, number.Of(n, what), all)
	return nil
}
