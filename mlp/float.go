// SPDX-License-Identifier: Apache-2.0

package mlp

import "math"

// floatWidth neurons are summed at once: one chain of additions each, all in
// registers.
const floatWidth = 10

type lane = [floatWidth]float32

// Float is the network in single precision. It is not changed by use.
type Float struct {
	inputs int
	blocks []floatBlock
	bias   float32
	cut    float32
}

// floatBlock is floatWidth hidden neurons, padded with weights of 0.
type floatBlock struct {
	in        []lane // by input
	bias, out lane
}

// NewFloat prepares a model for inference in floating point.
func NewFloat(m *Model) (*Float, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	f := &Float{
		inputs: len(m.Set.Features),
		blocks: make([]floatBlock, (m.Hidden()+floatWidth-1)/floatWidth),
		bias:   float32(m.Biases[1][0]),
		cut:    float32(math.Log(m.Threshold / (1 - m.Threshold))),
	}
	for k := range f.blocks {
		f.blocks[k].in = make([]lane, f.inputs)
	}
	for j, row := range m.Weights[0] {
		b, l := &f.blocks[j/floatWidth], j%floatWidth
		for i, w := range row {
			b.in[i][l] = float32(w)
		}
		b.bias[l], b.out[l] = float32(m.Biases[0][j]), float32(m.Weights[1][0][j])
	}
	return f, nil
}

// Logit returns the output for the features x (features.Set.Floats).
func (f *Float) Logit(x []float32) float32 {
	x = x[:f.inputs]
	out := f.bias
	for k := range f.blocks {
		out += f.blocks[k].sum(x)
	}
	return out
}

func (b *floatBlock) sum(x []float32) (out float32) {
	h := b.hidden(x)
	for l, y := range h {
		out += b.out[l] * max(y, 0) // no branch to mispredict
	}
	return out
}

func (b *floatBlock) hidden(x []float32) lane {
	h := &b.bias
	h0, h1, h2, h3, h4, h5, h6, h7, h8, h9 := h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]
	in := b.in[:len(x)]
	for i, xi := range x {
		w := &in[i]
		h0 += w[0] * xi
		h1 += w[1] * xi
		h2 += w[2] * xi
		h3 += w[3] * xi
		h4 += w[4] * xi
		h5 += w[5] * xi
		h6 += w[6] * xi
		h7 += w[7] * xi
		h8 += w[8] * xi
		h9 += w[9] * xi
	}
	return lane{h0, h1, h2, h3, h4, h5, h6, h7, h8, h9}
}

// Migrate reports whether a logit of this network means "migrate".
func (f *Float) Migrate(logit float32) bool { return logit >= f.cut }
