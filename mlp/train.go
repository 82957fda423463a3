// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Streams of the random numbers that one seed gives.
const (
	streamSplit = iota + 1
	streamInit
	streamShuffle
	streamGolden
)

// TrainConfig says how to train one network. PaperConfig fills it.
type TrainConfig struct {
	Hidden       int
	LearningRate float64 // Adam's, before decay
	Decay        float64 // step t, from 0, uses LearningRate/(1 + Decay*t), as Keras' `decay` does
	Beta1, Beta2 float64
	Epsilon      float64
	Batch        int
	Epochs       int        // at the most
	Patience     int        // stop after so many epochs in which the validation loss fell by no more than MinDelta
	MinDelta     float64    // 0 or more
	Validation   float64    // share of the rows held out to say when to stop (Data.Divide)
	ClassWeights [2]float64 // of the loss, by label; BalancedWeights makes both labels count the same
	Seed         uint64     // the same seed, data and machine type give the same bits

	// Scale divides each Ratio feature by its root mean square while training,
	// and the weights by the same afterwards: the network is the same, but Adam
	// need not learn that queues of 2,000 tasks and shares of 0.01 are alike.
	Scale    bool
	Progress func(Epoch)
}

// PaperConfig is the training of Chen et al., APSys '20. Of the early stopping the
// paper says no more than the name: Patience and MinDelta are ours.
func PaperConfig() TrainConfig {
	return TrainConfig{Hidden: 10, LearningRate: 3e-4, Decay: 3e-6, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-7,
		Batch: 64, Epochs: 1000, Patience: 10, MinDelta: 1e-5, Validation: 0.1, ClassWeights: [2]float64{1, 1}}
}

// BalancedWeights returns class weights under which both labels of the data
// count the same and the mean weight is 1. Both labels must occur.
func BalancedWeights(d *Data) [2]float64 {
	n := d.Count()
	rows := float64(d.Rows())
	return [2]float64{rows / (2 * float64(n[Stay])), rows / (2 * float64(n[Migrate]))}
}

// Epoch is one pass over the training rows. Losses are mean weighted
// cross-entropies, that of training taken while the weights moved.
type Epoch struct {
	Number     int // from 1
	Loss       float64
	Validation Evaluation
}

// Step is the mean training loss of the batches since the step before, up to
// and with number Batch.
type Step struct {
	Batch int
	Loss  float64
}

// stepsPerEpoch bounds how fine History.Steps is.
const stepsPerEpoch = 20

// History is how a training went.
type History struct {
	Epochs  []Epoch
	Best    int // index of the epoch whose weights the model has
	Batches int // in an epoch
	Steps   []Step
}

// Train fits a network to the data by Adam on the cross-entropy of the logit,
// and returns the weights of the epoch with the lowest validation loss, and the
// ranges of the features. The model's provenance is the caller's to fill. A
// cancelled ctx is an error.
func Train(ctx context.Context, cfg TrainConfig, data *Data) (*Model, History, error) {
	var history History
	if err := checkTraining(&cfg, data); err != nil {
		return nil, history, err
	}
	rest, held := data.Divide(data.Group, cfg.Validation, cfg.Seed)
	if n := data.count(rest); n[Stay] == 0 || n[Migrate] == 0 {
		return nil, history, fmt.Errorf("train: without the validation rows every label is the same (%d stay, %d migrate)", n[Stay], n[Migrate])
	}
	t := newTrainer(&cfg, data.Set, data.samples(rest))
	if cfg.Scale {
		t.scale()
	}
	if err := t.run(ctx, data.samples(held), &history); err != nil {
		return nil, history, fmt.Errorf("train: %w", err)
	}
	m := t.net.model()
	m.Ranges = data.Ranges()
	if err := m.Validate(); err != nil {
		return nil, history, fmt.Errorf("train: %w (%w)", ErrDiverged, err)
	}
	return m, history, nil
}

// run learns until it is told to stop, and leaves the best weights.
func (t *trainer) run(ctx context.Context, held []sample, history *History) error {
	history.Batches = (len(t.samples) + t.cfg.Batch - 1) / t.cfg.Batch
	best := slices.Clone(t.net.params)
	lowest, since := math.Inf(1), 0 // what MinDelta is counted from, and epochs since
	for number := 1; number <= t.cfg.Epochs; number++ {
		loss, err := t.epoch(ctx, history)
		if err != nil {
			return fmt.Errorf("epoch %d: %w", number, err)
		}
		e := Epoch{number, loss, t.validate(held)}
		history.Epochs = append(history.Epochs, e)
		if t.cfg.Progress != nil {
			t.cfg.Progress(e)
		}
		if number == 1 || e.Validation.Loss < history.Epochs[history.Best].Validation.Loss {
			history.Best = number - 1
			copy(best, t.net.params)
		}
		if since++; e.Validation.Loss < lowest-t.cfg.MinDelta {
			lowest, since = e.Validation.Loss, 0
		}
		if since >= t.cfg.Patience {
			break
		}
	}
	copy(t.net.params, best)
	return nil
}

func checkTraining(cfg *TrainConfig, data *Data) error {
	if err := data.Check(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if n := data.Count(); n[Stay] == 0 || n[Migrate] == 0 {
		return fmt.Errorf("train: data: every label is the same (%d stay, %d migrate): nothing to learn", n[Stay], n[Migrate])
	}
	return cfg.Check()
}

// Check says which number is out of its range.
func (c *TrainConfig) Check() error {
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 1) }
	unit := func(x float64) bool { return x >= 0 && x < 1 }
	for _, f := range []struct {
		ok   bool
		what string
		got  any
	}{
		{c.Hidden >= 1 && c.Hidden <= MaxHidden, "hidden neurons", c.Hidden},
		{positive(c.LearningRate), "learning rate", c.LearningRate},
		{c.Decay == 0 || positive(c.Decay), "decay", c.Decay},
		{unit(c.Beta1) && unit(c.Beta2), "betas", [2]float64{c.Beta1, c.Beta2}},
		{positive(c.Epsilon), "epsilon", c.Epsilon},
		{c.Batch >= 1, "batch", c.Batch},
		{c.Epochs >= 1, "epochs", c.Epochs},
		{c.Patience >= 1, "patience", c.Patience},
		{c.MinDelta == 0 || positive(c.MinDelta), "least gain", c.MinDelta},
		{c.Validation > 0 && c.Validation < 1, "validation split", c.Validation},
		{positive(c.ClassWeights[0]) && positive(c.ClassWeights[1]), "class weights", c.ClassWeights},
	} {
		if !f.ok {
			return fmt.Errorf("train: %s: %v is out of range", f.what, f.got)
		}
	}
	return nil
}
