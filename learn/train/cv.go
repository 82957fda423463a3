// SPDX-License-Identifier: Apache-2.0

package train

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"mllb/mlp"
)

// Progress is told of each epoch of training number job, from 0, and, with
// done, of its end. It is not called twice at once.
type Progress func(job int, e mlp.Epoch, done bool)

// CrossValidate trains and judges by the seeds Seed, Seed+1 ... Seed+folds-1, each of
// which draws other rows to hold out (Monte Carlo cross-validation), as many at
// once as workers; 0: as there are CPUs. The results are in the order of the
// seeds, and what Once gives for each.
func CrossValidate(ctx context.Context, cfg Config, src *Source, folds, workers int, progress Progress) ([]*Result, error) {
	return crossValidate(ctx, cfg, src, folds, whole.share(folds), workers, progress)
}

// crossValidate trains the folds with these numbers, from 0.
func crossValidate(ctx context.Context, cfg Config, src *Source, folds int, numbers []int, workers int, progress Progress) ([]*Result, error) {
	results := make([]*Result, len(numbers))
	progress = progress.synced()
	err := parallel(ctx, len(numbers), workers, func(ctx context.Context, i int) (err error) {
		k, fold := numbers[i], cfg
		fold.Seed += uint64(k)
		var last mlp.Epoch
		fold.Progress = func(e mlp.Epoch) { last = e; progress(k, e, false) }
		if results[i], err = Once(ctx, fold, src); err != nil {
			return fmt.Errorf("fold %d of %d (seed %d): %w", k+1, folds, fold.Seed, err)
		}
		progress(k, last, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// synced makes it safe to call from several goroutines, and if nil.
func (p Progress) synced() Progress {
	var mu sync.Mutex
	return func(job int, e mlp.Epoch, done bool) {
		mu.Lock()
		defer mu.Unlock()
		if p != nil {
			p(job, e, done)
		}
	}
}

// parallel runs job 0 to n-1 on so many goroutines until one fails; 0: as many
// as there are CPUs.
func parallel(ctx context.Context, n, workers int, job func(ctx context.Context, k int) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for k := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err // one before failed
			}
			return job(ctx, k)
		})
	}
	return g.Wait()
}

// Statistic is a figure over the folds that have it.
type Statistic struct {
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"` // of a sample; 0 for one fold
	N    int     `json:"n"`
}

// Over returns the mean and the standard deviation of a figure over the results
// where it is a number: a fold without a label has no recall of it.
func Over(results []*Result, figure func(r *Result) float64) (s Statistic) {
	var xs []float64
	for _, r := range results {
		if x := figure(r); !math.IsNaN(x) && !math.IsInf(x, 0) {
			xs = append(xs, x)
			s.Mean += x
		}
	}
	if s.N = len(xs); s.N == 0 {
		s.Mean = math.NaN()
		return s
	}
	s.Mean /= float64(s.N)
	for _, x := range xs {
		s.SD += (x - s.Mean) * (x - s.Mean)
	}
	if s.N > 1 {
		s.SD = math.Sqrt(s.SD / float64(s.N-1))
	}
	return s
}

// Pooled adds up the answers of all results.
func Pooled(results []*Result) (c mlp.Confusion) {
	for _, r := range results {
		for label := range c.N {
			for answer := range c.N[label] {
				c.N[label][answer] += r.Judged.N[label][answer]
			}
		}
	}
	return c
}
