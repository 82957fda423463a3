// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"mllb/features"
)

// trainer is a network, its optimiser and the order of its rows.
type trainer struct {
	cfg     *TrainConfig
	net     *net
	m, v    []lanes // Adam's moments
	step    int
	samples []sample
	order   []int32
	buf     []sample // a batch, gathered: reads far apart do not wait for each other then
	shuffle *rand.Rand
}

func newTrainer(cfg *TrainConfig, set *features.Set, samples []sample) *trainer {
	t := &trainer{cfg: cfg, net: newNet(set, cfg.Hidden), samples: samples, order: make([]int32, len(samples)),
		buf: make([]sample, min(cfg.Batch, len(samples))), shuffle: rand.New(rand.NewPCG(cfg.Seed, streamShuffle))}
	t.m, t.v = make([]lanes, len(t.net.params)), make([]lanes, len(t.net.params))
	t.net.init(rand.New(rand.NewPCG(cfg.Seed, streamInit)))
	for i := range t.order {
		t.order[i] = int32(i)
	}
	return t
}

// scale makes the net divide each Ratio feature by its root mean square over
// the samples; one that is always 0 stays.
func (t *trainer) scale() {
	var sum [features.MaxRatio]float64
	for i := range t.samples {
		for k, x := range t.samples[i].ratios {
			sum[k] += float64(x) * float64(x)
		}
	}
	for k, x := range sum {
		if x > 0 {
			t.net.scales[k] = 1 / math.Sqrt(x/float64(len(t.samples)))
		}
	}
}

// ErrDiverged says that training ended with no usable weights.
var ErrDiverged = errors.New("diverged: lower the learning rate")

// epoch learns every row once, in a new order, and returns the mean loss.
func (t *trainer) epoch(ctx context.Context, history *History) (float64, error) {
	t.shuffle.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	sum, since, rows := 0.0, 0.0, 0
	every := max(1, history.Batches/stepsPerEpoch)
	for rest := t.order; len(rest) > 0; {
		batch := rest[:min(t.cfg.Batch, len(rest))]
		rest = rest[len(batch):]
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		loss := t.batch(batch)
		sum, since, rows = sum+loss, since+loss, rows+len(batch)
		if t.step%every == 0 || len(rest) == 0 {
			history.Steps = append(history.Steps, Step{t.step, since / float64(rows)})
			since, rows = 0, 0
		}
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, ErrDiverged
	}
	return sum / float64(len(t.order)), nil
}

// batch takes one step of the optimiser and returns the sum of the losses.
func (t *trainer) batch(rows []int32) float64 {
	clear(t.net.grads)
	for k, i := range rows {
		t.buf[k] = t.samples[i]
	}
	var l loss
	for k := range rows {
		t.net.learn(&t.buf[k], &l, &t.cfg.ClassWeights)
	}
	t.adam(1 / float64(len(rows)))
	return l.total(&t.cfg.ClassWeights)
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
	for r := range params {
		p, grad, m, v := &params[r], &grads[r], &ms[r], &vs[r]
		for i := range p {
			g := grad[i] * scale
			m[i] = c.Beta1*m[i] + (1-c.Beta1)*g
			v[i] = c.Beta2*v[i] + (1-c.Beta2)*g*g
			p[i] -= rate * m[i] / (math.Sqrt(v[i]) + c.Epsilon)
		}
	}
}

// validate is the weighted loss, and the answers, on the rows held out.
func (t *trainer) validate(held []sample) (e Evaluation) {
	var l loss
	for i := range held {
		s := &held[i]
		logit := t.net.forward(s)
		l.add(logit, math.Exp(-math.Abs(logit)), s.label)
		answer := uint8(Stay)
		if logit >= 0 {
			answer = Migrate
		}
		e.Add(s.label, answer)
	}
	e.Loss = l.total(&t.cfg.ClassWeights) / float64(len(held))
	return e
}
