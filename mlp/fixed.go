// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"

	"mllb/features"
)

// The one arithmetic. Go, the kernel's C and BPF's C give these bits:
//
//	acc  = bias<<11 + sum over the inputs of weight*input + 1<<10   int64, exact
//	y    = acc >> 11, arithmetic                                    half rounds up
//	y    = saturated to int32
//	y    = max(y, 0)                                                hidden layer only
//
// for each neuron, everything in Q21.11 (features.FromRatio and FromFloat say
// how numbers become it). Sums of integers are exact, so their order is free.
// Fixed therefore looks the part of the sum that comes of 0/1 features up in
// tables, six features a lookup, the bias and the rounding half included.
// Without the tables (generic) BenchmarkFixed takes 4 times as long, and with a
// loop over the Ratio features in place of five products 1.5 times.
const half = 1 << (features.FracBits - 1)

// The shape that the fast path is unrolled for. A smaller network is padded
// with weights of 0, which changes no sum; a larger one takes the slow path.
const (
	fastHidden = 10
	fastRatios = 5
	tableBits  = 6
	tableRows  = 1 << tableBits
)

type tableRow = [fastHidden]int64

// neuron is what the fast path reads of one hidden neuron.
type neuron struct {
	in  [fastRatios]int64 // weights of the Ratio features
	out int64             // weight in the output
}

// Fixed is the network in integers. It is not changed by use, so any number of
// goroutines may share it.
type Fixed struct {
	low, high [tableRows]tableRow // sums by features 0-5 and 6-11 of Vector.Bits
	neurons   [fastHidden]neuron
	bias      int64 // of the output, shifted, with the rounding half
	threshold int32
	fast      bool // the network has the shape of the fast path
	full      generic
}

// Fixed returns the network in integers.
func (q *Quantised) Fixed() *Fixed {
	f := &Fixed{threshold: q.Threshold, full: newGeneric(q)}
	g := &f.full
	f.bias = g.bias
	f.fast = len(g.neurons) <= fastHidden && g.ratios <= fastRatios && g.binaries <= 2*tableBits
	if !f.fast {
		return f
	}
	for j := range g.neurons {
		n := &g.neurons[j]
		copy(f.neurons[j].in[:], n.ratios)
		f.neurons[j].out = n.out
		for row := range uint32(tableRows) {
			f.low[row][j] = n.bias + n.binarySum(row)
			f.high[row][j] = n.binarySum(row << tableBits)
		}
	}
	return f
}

// NewFixed quantises a model.
func NewFixed(m *Model) (*Fixed, error) {
	q, err := m.Quantise()
	if err != nil {
		return nil, err
	}
	return q.Fixed(), nil
}

// Logit returns the output of the network in Q21.11.
func (f *Fixed) Logit(v *features.Vector) int32 {
	if !f.fast {
		return f.full.logit(v)
	}
	low := &f.low[v.Bits%tableRows]
	high := &f.high[v.Bits>>tableBits%tableRows]
	x0, x1, x2, x3, x4 := int64(v.Ratios[0]), int64(v.Ratios[1]), int64(v.Ratios[2]), int64(v.Ratios[3]), int64(v.Ratios[4])
	sum := f.bias
	for j := range f.neurons {
		n := &f.neurons[j]
		acc := low[j] + high[j] + n.in[0]*x0 + n.in[1]*x1 + n.in[2]*x2 + n.in[3]*x3 + n.in[4]*x4
		sum += n.out * min(max(acc>>features.FracBits, 0), math.MaxInt32)
	}
	return saturate(sum >> features.FracBits)
}

// Migrate reports whether a logit of this network means "migrate".
func (f *Fixed) Migrate(logit int32) bool { return logit >= f.threshold }

// Hidden computes the hidden layer in Q21.11 into dst, whose length is the
// number of hidden neurons, for tests that compare layer by layer.
func (f *Fixed) Hidden(dst []int32, v *features.Vector) {
	for j := range dst {
		dst[j] = int32(f.full.neurons[j].output(v))
	}
}

func saturate(x int64) int32 { return int32(min(max(x, math.MinInt32), math.MaxInt32)) }
