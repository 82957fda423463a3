// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"strconv"

	"mllb/features"
)

// sample is a row as training reads it: 0/1 features as bits, for a weight is
// then added or not read at all, and the others apart, as in features.Vector.
type sample struct {
	bits   uint32
	label  uint8
	ratios [features.MaxRatio]float32
}

// samples copies rows of the data.
func (d *Data) samples(rows []int32) []sample {
	s := make([]sample, len(rows))
	for k, i := range rows {
		s[k].label = d.Y[i]
		bit, ratio := 0, 0
		for f, x := range d.Row(int(i)) {
			if d.Set.Features[f].Kind == features.Binary {
				s[k].bits |= uint32(x) << bit // Check saw that it is 0 or 1
				bit++
				continue
			}
			s[k].ratios[ratio] = x
			ratio++
		}
	}
	return s
}

// lanes are parameters, or activations, of netWidth neurons side by side.
type lanes [netWidth]float64

const netWidth = 10

// net is a network being trained, in double precision. Hidden neurons are in
// blocks of netWidth, each with a row of weights for every input (0/1 features
// first), a row of biases and a row of output weights; the last block is padded
// with zeros, which no gradient reaches. All parameters are one slice, as the
// optimiser wants them: the blocks, and a row whose first is the output's bias.
type net struct {
	set              *features.Set
	hidden           int
	binaries, ratios int
	params, grads    []lanes
	act              []lanes // of the sample at hand, by block
	scales           [features.MaxRatio]float64
}

func newNet(set *features.Set, hidden int) *net {
	n := &net{set: set, hidden: hidden}
	for i := range set.Features {
		if set.Features[i].Kind == features.Binary {
			n.binaries++
		} else {
			n.scales[n.ratios] = 1
			n.ratios++
		}
	}
	blocks := (hidden + netWidth - 1) / netWidth
	n.params = make([]lanes, blocks*n.blockRows()+1)
	n.grads = make([]lanes, len(n.params))
	n.act = make([]lanes, blocks)
	return n
}

// blockRows counts the rows of a block: inputs, biases, output weights.
func (n *net) blockRows() int { return n.binaries + n.ratios + 2 }

// block returns the rows of a block, of params or of grads.
func (n *net) block(of []lanes, b int) []lanes { return of[b*n.blockRows() : (b+1)*n.blockRows()] }

// neuron calls visit with each parameter of hidden neuron j as the model has
// it: inputs in the order of the set, then the bias, then the output weight.
func (n *net) neuron(of []lanes, j int, visit func(k int, p *float64)) {
	rows, lane := n.block(of, j/netWidth), j%netWidth
	bit, ratio := 0, n.binaries
	for i := range n.set.Features {
		row := &ratio
		if n.set.Features[i].Kind == features.Binary {
			row = &bit
		}
		visit(i, &rows[*row][lane])
		*row++
	}
	visit(len(n.set.Features), &rows[len(rows)-2][lane])
	visit(len(n.set.Features)+1, &rows[len(rows)-1][lane])
}

// init draws the weights as Glorot and Bengio (2010) and Keras do; biases are 0.
func (n *net) init(rng *rand.Rand) {
	inputs := len(n.set.Features)
	limits := [2]float64{math.Sqrt(6 / float64(inputs+n.hidden)), math.Sqrt(6 / float64(n.hidden+1))}
	for j := range n.hidden {
		n.neuron(n.params, j, func(k int, p *float64) {
			switch {
			case k < inputs:
				*p = (2*rng.Float64() - 1) * limits[0]
			case k > inputs:
				*p = (2*rng.Float64() - 1) * limits[1]
			}
		})
	}
}

// forward returns the logit of one sample, and leaves its activations. A block's
// sums are ten variables, here and in backward, for the compiler keeps only
// those in registers: with loops over the lanes BenchmarkTrain takes 1.4 times
// as long.
func (n *net) forward(s *sample) float64 {
	logit := n.params[len(n.params)-1][0]
	for b := range n.act {
		rows := n.block(n.params, b)
		out, h := &rows[len(rows)-1], &rows[len(rows)-2]
		h0, h1, h2, h3, h4, h5, h6, h7, h8, h9 := h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]
		for set := s.bits; set != 0; set &= set - 1 {
			w := &rows[bits.TrailingZeros32(set)]
			h0 += w[0]
			h1 += w[1]
			h2 += w[2]
			h3 += w[3]
			h4 += w[4]
			h5 += w[5]
			h6 += w[6]
			h7 += w[7]
			h8 += w[8]
			h9 += w[9]
		}
		for k := range n.ratios {
			x := float64(s.ratios[k]) * n.scales[k]
			w := &rows[n.binaries+k]
			h0 += w[0] * x
			h1 += w[1] * x
			h2 += w[2] * x
			h3 += w[3] * x
			h4 += w[4] * x
			h5 += w[5] * x
			h6 += w[6] * x
			h7 += w[7] * x
			h8 += w[8] * x
			h9 += w[9] * x
		}
		act := &n.act[b]
		*act = lanes{max(h0, 0), max(h1, 0), max(h2, 0), max(h3, 0), max(h4, 0), max(h5, 0), max(h6, 0), max(h7, 0), max(h8, 0), max(h9, 0)}
		logit += (act[0]*out[0] + act[1]*out[1] + act[2]*out[2] + act[3]*out[3] + act[4]*out[4]) +
			(act[5]*out[5] + act[6]*out[6] + act[7]*out[7] + act[8]*out[8] + act[9]*out[9])
	}
	return logit
}

// backward adds the gradient of the sample that forward saw last, given the
// derivative of the loss by the logit.
func (n *net) backward(s *sample, d float64) {
	n.grads[len(n.grads)-1][0] += d
	for b := range n.act {
		rows, grads := n.block(n.params, b), n.block(n.grads, b)
		out, act := &rows[len(rows)-1], &n.act[b]
		dout, dbias := &grads[len(grads)-1], &grads[len(grads)-2]
		var g lanes
		for j, h := range act {
			dout[j] += d * h
			if h > 0 { // ReLU passes nothing back where it gave 0
				g[j] = d * out[j]
				dbias[j] += g[j]
			}
		}
		g0, g1, g2, g3, g4, g5, g6, g7, g8, g9 := g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9]
		for set := s.bits; set != 0; set &= set - 1 {
			dw := &grads[bits.TrailingZeros32(set)]
			dw[0] += g0
			dw[1] += g1
			dw[2] += g2
			dw[3] += g3
			dw[4] += g4
			dw[5] += g5
			dw[6] += g6
			dw[7] += g7
			dw[8] += g8
			dw[9] += g9
		}
		for k := range n.ratios {
			x := float64(s.ratios[k]) * n.scales[k]
			dw := &grads[n.binaries+k]
			dw[0] += g0 * x
			dw[1] += g1 * x
			dw[2] += g2 * x
			dw[3] += g3 * x
			dw[4] += g4 * x
			dw[5] += g5 * x
			dw[6] += g6 * x
			dw[7] += g7 * x
			dw[8] += g8 * x
			dw[9] += g9 * x
		}
	}
}

// learn adds one sample's loss, and its gradient times the weight of its label.
func (n *net) learn(s *sample, l *loss, weights *[2]float64) {
	logit := n.forward(s)
	e := math.Exp(-math.Abs(logit))
	p := 1 / (1 + e) // of the likelier label
	if logit < 0 {
		p *= e
	}
	l.add(logit, e, s.label)
	n.backward(s, weights[s.label&1]*(p-float64(s.label)))
}

// model copies the parameters out, to seven digits: more than Q21.11 keeps, and
// a file that people can read.
func (n *net) model() *Model {
	m := NewModel(n.set, n.hidden)
	inputs := len(n.set.Features)
	for j := range n.hidden {
		ratio := 0
		n.neuron(n.params, j, func(k int, p *float64) {
			switch {
			case k == inputs:
				m.Biases[0][j] = sevenDigits(*p)
			case k > inputs:
				m.Weights[1][0][j] = sevenDigits(*p)
			case n.set.Features[k].Kind == features.Binary:
				m.Weights[0][j][k] = sevenDigits(*p)
			default:
				m.Weights[0][j][k] = sevenDigits(*p * n.scales[ratio])
				ratio++
			}
		})
	}
	m.Biases[1][0] = sevenDigits(n.params[len(n.params)-1][0])
	return m
}

func sevenDigits(x float64) float64 {
	// What FormatFloat writes, ParseFloat reads.
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 7, 64), 64)
	return x
}
