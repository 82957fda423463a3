// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Streams of the random numbers that one seed gives.
const (
	streamSplit = iota + 1
	streamInit
	streamShuffle
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
	Patience     int        // stop after so many epochs without a lower validation loss
	Validation   float64    // share of the rows held out to say when to stop (Data.Split)
	ClassWeights [2]float64 // of the loss, by label; BalancedWeights makes both labels count the same
	Seed         uint64     // the same seed, data and machine type give the same bits

	// Scale divides each Ratio feature by its root mean square while training,
	// and the weights by the same afterwards: the network is the same, but Adam
	// need not learn that queues of 2,000 tasks and shares of 0.01 are alike.
	Scale    bool
	Progress func(Epoch)
}

// PaperConfig is the training of Chen et al., APSys '20.
func PaperConfig() TrainConfig {
	return TrainConfig{Hidden: 10, LearningRate: 3e-4, Decay: 3e-6, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-7,
		Batch: 64, Epochs: 1000, Patience: 10, Validation: 0.1, ClassWeights: [2]float64{1, 1}}
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

// History is how a training went.
type History struct {
	Epochs []Epoch
	Best   int // index of the epoch whose weights the model has
}

// Train fits a network to the data by Adam on the cross-entropy of the logit,
// and returns the weights of the epoch with the lowest validation loss. The
// model's provenance is the caller's to fill. A cancelled ctx is an error.
func Train(ctx context.Context, cfg TrainConfig, data *Data) (*Model, History, error) {
	var history History
	if err := checkTraining(&cfg, data); err != nil {
		return nil, history, fmt.Errorf("train: %w", err)
	}
	rest, held := data.Split(cfg.Validation, cfg.Seed)
	if n := rest.Count(); n[Stay] == 0 || n[Migrate] == 0 {
		return nil, history, fmt.Errorf("train: without the validation rows every label is the same (%d stay, %d migrate)", n[Stay], n[Migrate])
	}
	t := newTrainer(&cfg, rest)
	if cfg.Scale {
		t.scale(held)
	}
	best := slices.Clone(t.net.params)
	for number := 1; number <= cfg.Epochs; number++ {
		loss, err := t.epoch(ctx)
		if err != nil {
			return nil, history, fmt.Errorf("train: epoch %d: %w", number, err)
		}
		e := Epoch{number, loss, t.validate(held)}
		history.Epochs = append(history.Epochs, e)
		if cfg.Progress != nil {
			cfg.Progress(e)
		}
		if number == 1 || e.Validation.Loss < history.Epochs[history.Best].Validation.Loss {
			history.Best = number - 1
			copy(best, t.net.params)
		} else if number-1-history.Best >= cfg.Patience {
			break
		}
	}
	copy(t.net.params, best)
	t.unscale()
	m := t.net.model(data.Set)
	if err := m.Validate(); err != nil {
		return nil, history, fmt.Errorf("train: diverged: %w", err)
	}
	return m, history, nil
}

func checkTraining(cfg *TrainConfig, data *Data) error {
	if err := data.Check(); err != nil {
		return err
	}
	if n := data.Count(); n[Stay] == 0 || n[Migrate] == 0 {
		return fmt.Errorf("data: every label is the same (%d stay, %d migrate): nothing to learn", n[Stay], n[Migrate])
	}
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 1) }
	unit := func(x float64) bool { return x >= 0 && x < 1 }
	for _, c := range []struct {
		ok   bool
		what string
		got  any
	}{
		{cfg.Hidden >= 1 && cfg.Hidden <= MaxHidden, "hidden neurons", cfg.Hidden},
		{positive(cfg.LearningRate), "learning rate", cfg.LearningRate},
		{cfg.Decay == 0 || positive(cfg.Decay), "decay", cfg.Decay},
		{unit(cfg.Beta1) && unit(cfg.Beta2), "betas", [2]float64{cfg.Beta1, cfg.Beta2}},
		{positive(cfg.Epsilon), "epsilon", cfg.Epsilon},
		{cfg.Batch >= 1, "batch", cfg.Batch},
		{cfg.Epochs >= 1, "epochs", cfg.Epochs},
		{cfg.Patience >= 1, "patience", cfg.Patience},
		{cfg.Validation > 0 && cfg.Validation < 1, "validation split", cfg.Validation},
		{positive(cfg.ClassWeights[0]) && positive(cfg.ClassWeights[1]), "class weights", cfg.ClassWeights},
	} {
		if !c.ok {
			return fmt.Errorf("%s: %v is out of range", c.what, c.got)
		}
	}
	return nil
}

// trainer is a network, its optimiser and the order of its rows.
type trainer struct {
	cfg     *TrainConfig
	data    *Data
	net     *net
	m, v    []float64 // Adam's moments
	step    int
	order   []int32
	shuffle *rand.Rand
	scales  []float64 // by input, what it was divided by; nil: nothing
}

func newTrainer(cfg *TrainConfig, data *Data) *trainer {
	t := &trainer{cfg: cfg, data: data, net: newNet(len(data.Set.Features), cfg.Hidden), order: make([]int32, data.Rows()),
		shuffle: rand.New(rand.NewPCG(cfg.Seed, streamShuffle))}
	t.m, t.v = make([]float64, len(t.net.params)), make([]float64, len(t.net.params))
	t.net.init(rand.New(rand.NewPCG(cfg.Seed, streamInit)))
	for i := range t.order {
		t.order[i] = int32(i)
	}
	return t
}

// scale divides the inputs of the training rows, and those of the rows held out
// by the same. Both are copies that Split made.
func (t *trainer) scale(held *Data) {
	t.scales = t.data.rms()
	for _, d := range []*Data{t.data, held} {
		for i := range d.X {
			d.X[i] /= float32(t.scales[i%len(t.scales)])
		}
	}
}

func (t *trainer) unscale() {
	for i := range t.net.weights {
		if t.scales != nil {
			t.net.weights[i] /= t.scales[i%len(t.scales)]
		}
	}
}

var errDiverged = errors.New("the loss is no number any more: lower the learning rate")

// epoch learns every row once, in a new order, and returns the mean loss.
func (t *trainer) epoch(ctx context.Context) (float64, error) {
	t.shuffle.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	sum := 0.0
	for rest := t.order; len(rest) > 0; {
		batch := rest[:min(t.cfg.Batch, len(rest))]
		rest = rest[len(batch):]
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		sum += t.batch(batch)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, errDiverged
	}
	return sum / float64(len(t.order)), nil
}

// batch takes one step of the optimiser and returns the sum of the losses.
func (t *trainer) batch(rows []int32) (sum float64) {
	clear(t.net.grads)
	for _, i := range rows {
		y := t.data.Y[i]
		sum += t.net.learn(t.data.Row(int(i)), y, t.cfg.ClassWeights[y&1])
	}
	t.adam(1 / float64(len(rows)))
	return sum
}

// adam is Kingma and Ba's algorithm 1 in its efficient form (their section 2),
// on the gradient times scale.
func (t *trainer) adam(scale float64) {
	c := t.cfg
	rate := c.LearningRate / (1 + c.Decay*float64(t.step))
	t.step++
	n := float64(t.step)
	rate *= math.Sqrt(1-math.Pow(c.Beta2, n)) / (1 - math.Pow(c.Beta1, n))
	params := t.net.params
	grads, ms, vs := t.net.grads[:len(params)], t.m[:len(params)], t.v[:len(params)]
	for i := range params {
		g := grads[i] * scale
		m := c.Beta1*ms[i] + (1-c.Beta1)*g
		v := c.Beta2*vs[i] + (1-c.Beta2)*g*g
		ms[i], vs[i] = m, v
		params[i] -= rate * m / (math.Sqrt(v) + c.Epsilon)
	}
}

// validate is the weighted loss, and the answers, on the rows held out.
func (t *trainer) validate(d *Data) (e Evaluation) {
	for i, y := range d.Y {
		logit := t.net.forward(d.Row(i))
		e.Loss += t.cfg.ClassWeights[y&1] * crossEntropy(logit, y)
		answer := uint8(Stay)
		if logit >= 0 {
			answer = Migrate
		}
		e.Add(y, answer)
	}
	e.Loss /= float64(d.Rows())
	return e
}
