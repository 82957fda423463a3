// SPDX-License-Identifier: Apache-2.0

package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"mllb/mlp"
)

// Search is how long to look for the best rate, decay and batch, and where the
// trials are kept: what is there already is not tried again.
type Search struct {
	Path    string
	Trials  int
	Budget  time.Duration // start no trial after it; 0: no limit
	Workers int           // 0: as there are CPUs
	Known   []Trial       // made elsewhere, and to be kept at Path too
}

// Trial is one training of a search.
type Trial struct {
	Number       int     `json:"trial"`
	LearningRate float64 `json:"learning_rate"`
	Decay        float64 `json:"decay"`
	Batch        int     `json:"batch"`

	Loss     *float64 `json:"loss"`               // the lowest on the validation rows; null: it diverged
	Balanced *float64 `json:"balanced,omitempty"` // accuracy on them then, where they have both labels
	Epochs   int      `json:"epochs"`
}

// The ranges of the paper's Table 1; all are drawn log-uniformly.
var table1 = struct{ rate, decay, batch [2]float64 }{
	rate: [2]float64{1e-5, 1.5e-3}, decay: [2]float64{1e-6, 1.5e-4}, batch: [2]float64{16, 128},
}

// drawTrial makes trial number n: the first is the configuration itself, the others
// are drawn by its seed.
func drawTrial(cfg *Config, n int) Trial {
	if n == 0 {
		return Trial{LearningRate: cfg.LearningRate, Decay: cfg.Decay, Batch: cfg.Batch}
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x7377656570<<16|uint64(n))) // "sweep"
	between := func(r [2]float64) float64 { return r[0] * math.Pow(r[1]/r[0], rng.Float64()) }
	digits := func(x float64) float64 { // three: as people write rates
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
		return x
	}
	return Trial{Number: n, LearningRate: digits(between(table1.rate)), Decay: digits(between(table1.decay)),
		Batch: int(math.Round(between(table1.batch)))}
}

// Use sets what the trial tried.
func (t *Trial) Use(cfg *Config) {
	cfg.LearningRate, cfg.Decay, cfg.Batch = t.LearningRate, t.Decay, t.Batch
}

// Sweep tries, and returns all trials of the file, the best first. Each learns
// from and stops by the same rows; the rows that cfg holds out are not looked at.
func Sweep(ctx context.Context, cfg Config, src *Source, s Search, progress Progress) ([]Trial, error) {
	all, err := cfg.search(ctx, src, s, whole, "", progress)
	if err != nil {
		return nil, err
	}
	return ranked(all)
}

// search makes the trials of a shard that are not in the file yet, and returns all of it.
// Without a program the file is of no shard.
func (c Config) search(ctx context.Context, src *Source, s Search, shard Shard, program string, progress Progress) ([]Trial, error) {
	rest, head, err := c.searched(src)
	if err != nil {
		return nil, err
	}
	if program != "" {
		head.Program, head.Shard = program, shard.String()
	}
	log, err := openTrials(s.Path, head)
	if err != nil {
		return nil, err
	}
	defer log.close()
	if err := log.learn(s.Known); err != nil {
		return nil, err
	}
	started, known := time.Now(), len(log.all)
	todo := log.missing(shard.share(s.Trials))
	progress = progress.synced()
	var mu sync.Mutex
	err = parallel(ctx, len(todo), s.Workers, func(ctx context.Context, k int) error {
		if s.Budget > 0 && time.Since(started) > s.Budget && k+known > 0 {
			return nil
		}
		var last mlp.Epoch
		t, err := try(ctx, c, drawTrial(&c, todo[k]), rest, func(e mlp.Epoch) { last = e; progress(todo[k], e, false) })
		if err != nil {
			return fmt.Errorf("trial %d: %w", todo[k], err)
		}
		progress(todo[k], last, true)
		mu.Lock()
		defer mu.Unlock()
		return log.add(t)
	})
	return log.all, errors.Join(err, log.close())
}

// searched returns the rows that trials learn from, and what a file of them begins with.
func (c *Config) searched(src *Source) (*mlp.Data, header, error) {
	rest, _, err := c.divide(src)
	if err != nil {
		return nil, header{}, err
	}
	c.balance(rest)
	return rest, header{trialsSchema, c.settings(src)}, nil
}

func try(ctx context.Context, cfg Config, t Trial, rest *mlp.Data, progress func(mlp.Epoch)) (Trial, error) {
	t.Use(&cfg)
	cfg.Progress = progress
	_, history, err := mlp.Train(ctx, cfg.TrainConfig, rest)
	t.Epochs = len(history.Epochs)
	if errors.Is(err, mlp.ErrDiverged) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	best := history.Epochs[history.Best].Validation
	t.Loss = &best.Loss
	if b := best.Balanced(); !math.IsNaN(b) {
		t.Balanced = &b
	}
	return t, nil
}

// ranked sorts trials by loss; those that diverged are last.
func ranked(trials []Trial) ([]Trial, error) {
	loss := func(t Trial) float64 {
		if t.Loss == nil {
			return math.Inf(1)
		}
		return *t.Loss
	}
	trials = slices.Clone(trials)
	slices.SortFunc(trials, func(a, b Trial) int {
		return cmp.Or(cmp.Compare(loss(a), loss(b)), cmp.Compare(a.Number, b.Number))
	})
	if len(trials) == 0 || trials[0].Loss == nil {
		return nil, fmt.Errorf("sweep: all %d trials diverged", len(trials))
	}
	return trials, nil
}
