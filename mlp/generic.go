// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"
	"math/bits"

	"mllb/features"
)

// generic is the network in integers for any sizes: adds for the 0/1 features
// that are 1, products for the others.
type generic struct {
	binaries, ratios int
	neurons          []genericNeuron
	bias             int64
}

type genericNeuron struct {
	binaries []int64 // weights of the Binary features, shifted: weight * 1.0
	ratios   []int64
	bias     int64 // shifted, with the rounding half
	out      int64
}

func newGeneric(q *Quantised) generic {
	g := generic{
		neurons: make([]genericNeuron, len(q.Weights[0])),
		bias:    int64(q.Biases[1][0])<<features.FracBits + half,
	}
	for j, row := range q.Weights[0] {
		n := genericNeuron{bias: int64(q.Biases[0][j])<<features.FracBits + half, out: int64(q.Weights[1][0][j])}
		for i, w := range row {
			if q.Set.Features[i].Kind == features.Binary {
				n.binaries = append(n.binaries, int64(w)<<features.FracBits)
			} else {
				n.ratios = append(n.ratios, int64(w))
			}
		}
		g.binaries, g.ratios = len(n.binaries), len(n.ratios)
		g.neurons[j] = n
	}
	return g
}

// binarySum adds the weights of the Binary features that are 1. Bits past the
// last feature count for nothing.
func (n *genericNeuron) binarySum(set uint32) (sum int64) {
	for ; set != 0; set &= set - 1 {
		if k := bits.TrailingZeros32(set); k < len(n.binaries) {
			sum += n.binaries[k]
		}
	}
	return sum
}

// output is the neuron after ReLU: in [0, 2^31-1].
func (n *genericNeuron) output(v *features.Vector) int64 {
	acc := n.bias + n.binarySum(v.Bits)
	for k, w := range n.ratios {
		acc += w * int64(v.Ratios[k])
	}
	return min(max(acc>>features.FracBits, 0), math.MaxInt32)
}

func (g *generic) logit(v *features.Vector) int32 {
	sum := g.bias
	for j := range g.neurons {
		n := &g.neurons[j]
		sum += n.out * n.output(v)
	}
	return saturate(sum >> features.FracBits)
}
