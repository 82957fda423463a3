// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"
	"math/rand/v2"
	"testing"

	"mllb/features"
)

// TestGradient holds backpropagation against central differences, for a hidden
// layer that fills its blocks and for one that does not.
func TestGradient(t *testing.T) {
	d := toy(t, 20, 0)
	samples := d.samples(everyRow(d))
	for _, hidden := range []int{7, 10, 12} {
		n := newNet(d.Set, hidden)
		n.scales[1] = 0.5
		rng := rand.New(rand.NewPCG(12, 13))
		n.init(rng)
		n.params[len(n.params)-1][0] = 0.1
		for j := range hidden {
			n.neuron(n.params, j, func(_ int, p *float64) { *p += 0.1 * rng.NormFloat64() }) // no bias is left at 0
		}
		weights := [2]float64{3, 0.5}
		lost := func() float64 {
			var l loss
			for i := range samples {
				logit := n.forward(&samples[i])
				l.add(logit, math.Exp(-math.Abs(logit)), samples[i].label)
			}
			return l.total(&weights)
		}
		var l loss
		for i := range samples {
			n.learn(&samples[i], &l, &weights)
		}
		if got, want := l.total(&weights), lost(); math.Abs(got-want) > 1e-9 {
			t.Errorf("learn says the loss is %g, forward %g", got, want)
		}
		worst, moved := 0.0, 0
		for r := range n.params {
			for i := range n.params[r] {
				const h = 1e-6
				p := &n.params[r][i]
				keep := *p
				*p = keep + h
				up := lost()
				*p = keep - h
				down := lost()
				*p = keep
				if r == len(n.params)-1 && i > 0 {
					continue // padding
				}
				numeric := (up - down) / (2 * h)
				worst = max(worst, math.Abs(numeric-n.grads[r][i])/(1+math.Abs(numeric)))
				if n.grads[r][i] != 0 {
					moved++
				}
			}
		}
		if worst > 1e-6 {
			t.Errorf("%d hidden: gradient off by %g", hidden, worst)
		}
		if all := hidden*(len(d.Set.Features)+2) + 1; moved > all || moved < all*9/10 {
			t.Errorf("%d hidden: %d parameters of %d have a gradient", hidden, moved, all)
		}
	}
}

func everyRow(d *Data) []int32 {
	rows := make([]int32, d.Rows())
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

// TestNetIsTheModel holds what training computes against what inference does.
func TestNetIsTheModel(t *testing.T) {
	for _, name := range []string{"paper15", "locality17"} {
		set, _ := features.Lookup(name)
		n := newNet(set, 13)
		n.scales = [features.MaxRatio]float64{0.5, 2, 3, 0.25, 7}
		rng := rand.New(rand.NewPCG(5, 6))
		n.init(rng)
		n.params[len(n.params)-1][0] = 0.3
		f, err := NewFloat(n.model())
		if err != nil {
			t.Fatal(err)
		}
		d := &Data{Set: set}
		q := make([]int32, len(set.Features))
		for range 50 {
			v := randomVector(rng, set)
			set.Unpack(q, &v)
			for _, x := range q {
				d.X = append(d.X, float32(features.ToFloat(x)))
			}
			d.Y = append(d.Y, Stay)
		}
		for i, s := range d.samples(everyRow(d)) {
			if got, want := n.forward(&s), float64(f.Logit(d.Row(i))); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("%s: row %d: the net says %g, the model %g", name, i, got, want)
			}
		}
	}
}

// TestLoss adds losses whose product leaves float64.
func TestLoss(t *testing.T) {
	var l loss
	want := 0.0
	for i := range 4000 {
		logit := math.Sin(float64(i))
		l.add(logit, math.Exp(-math.Abs(logit)), uint8(i&1))
		want += [2]float64{3, 0.5}[i&1] * CrossEntropy(logit, uint8(i&1))
	}
	if got := l.total(&[2]float64{3, 0.5}); math.Abs(got-want) > 1e-9*want {
		t.Errorf("loss %g, want %g", got, want)
	}
}

// TestAdam follows three steps of one parameter worked out by hand from the
// paper's algorithm, with the decay of the learning rate.
func TestAdam(t *testing.T) {
	cfg := PaperConfig()
	cfg.LearningRate, cfg.Decay, cfg.Epsilon = 0.1, 0.5, 1e-12
	tr := &trainer{cfg: &cfg, net: &net{params: make([]lanes, 1), grads: make([]lanes, 1)}, m: make([]lanes, 1), v: make([]lanes, 1)}
	want := 0.0
	for step, g := range []float64{2, 2, 2} {
		tr.net.grads[0][3] = g * 4
		tr.adam(0.25)
		// A constant gradient has a corrected moment quotient of 1.
		want -= 0.1 / (1 + 0.5*float64(step))
		if got := tr.net.params[0]; math.Abs(got[3]-want) > 1e-9 || got[2] != 0 {
			t.Errorf("step %d: %g, want %g", step, got, want)
		}
	}
}
