// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"
	"math/rand/v2"
	"strconv"

	"mllb/features"
)

// net is a network being trained, in double precision. All parameters are one
// slice, as the optimiser wants them; the rest are views of it.
type net struct {
	inputs, hidden int
	params, grads  []float64
	weights, dw    []float64 // first layer, by neuron
	neurons, dn    []float64 // biases, then output weights, then the output's bias
	x, act         []float64 // of the sample at hand
}

func newNet(inputs, hidden int) *net {
	size := inputs*hidden + 2*hidden + 1
	n := &net{inputs: inputs, hidden: hidden, params: make([]float64, size), grads: make([]float64, size),
		x: make([]float64, inputs), act: make([]float64, hidden)}
	cut := inputs * hidden
	n.weights, n.neurons = n.params[:cut], n.params[cut:]
	n.dw, n.dn = n.grads[:cut], n.grads[cut:]
	return n
}

// init draws the weights as Glorot and Bengio (2010) and Keras do; biases are 0.
func (n *net) init(rng *rand.Rand) {
	uniform := func(w []float64, in, out int) {
		limit := math.Sqrt(6 / float64(in+out))
		for i := range w {
			w[i] = (2*rng.Float64() - 1) * limit
		}
	}
	uniform(n.weights, n.inputs, n.hidden)
	uniform(n.neurons[n.hidden:2*n.hidden], n.hidden, 1)
}

// forward returns the logit of one row, and leaves its activations.
func (n *net) forward(row []float32) float64 {
	x := n.x[:len(row)]
	for i, v := range row {
		x[i] = float64(v)
	}
	bias, out := n.neurons[:len(n.act)], n.neurons[n.hidden:]
	logit, w := out[n.hidden], n.weights
	out = out[:len(n.act)]
	for j := range n.act {
		h := max(bias[j]+dot(w[:len(x)], x), 0)
		w = w[len(x):]
		n.act[j] = h
		logit += out[j] * h
	}
	return logit
}

// backward adds the gradient of the row that forward saw last, given the
// derivative of the loss by the logit.
func (n *net) backward(d float64) {
	x, dw := n.x, n.dw
	out := n.neurons[n.hidden:]
	dout := n.dn[n.hidden:]
	dout[n.hidden] += d
	for j, h := range n.act {
		row := dw[:len(x)]
		dw = dw[len(x):]
		if h <= 0 {
			continue // ReLU passes nothing back
		}
		dout[j] += d * h
		g := d * out[j]
		n.dn[j] += g
		for i, v := range x {
			row[i] += g * v
		}
	}
}

// learn adds one row's loss and gradient, both times weight.
func (n *net) learn(row []float32, label uint8, weight float64) float64 {
	logit := n.forward(row)
	e := math.Exp(-math.Abs(logit))
	p := 1 / (1 + e) // of the likelier label
	if logit < 0 {
		p = e / (1 + e)
	}
	n.backward(weight * (p - float64(label)))
	return weight * (max(logit, 0) - logit*float64(label) + math.Log1p(e))
}

// dot sums in four chains, for one would wait for each addition.
func dot(w, x []float64) float64 {
	var a, b, c, d float64
	for len(w) >= 4 && len(x) >= 4 {
		a += w[0] * x[0]
		b += w[1] * x[1]
		c += w[2] * x[2]
		d += w[3] * x[3]
		w, x = w[4:], x[4:]
	}
	for i := range min(len(w), len(x)) {
		a += w[i] * x[i]
	}
	return (a + b) + (c + d)
}

// model copies the parameters out, to seven digits: more than Q21.11 keeps, and
// a file that people can read.
func (n *net) model(set *features.Set) *Model {
	m := NewModel(set, n.hidden)
	for j := range n.hidden {
		for i := range n.inputs {
			m.Weights[0][j][i] = sevenDigits(n.weights[j*n.inputs+i])
		}
		m.Biases[0][j] = sevenDigits(n.neurons[j])
		m.Weights[1][0][j] = sevenDigits(n.neurons[n.hidden+j])
	}
	m.Biases[1][0] = sevenDigits(n.neurons[2*n.hidden])
	return m
}

func sevenDigits(x float64) float64 {
	// What FormatFloat writes, ParseFloat reads.
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 7, 64), 64)
	return x
}
