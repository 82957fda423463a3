// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math"
	"math/bits"

	"mllb/features"
	"mllb/internal/number"
	"mllb/mlp"
)

// The fractional bits that are tried. The paper chose 11 of 32 (Q21.11).
const (
	minWidth = 4
	maxWidth = 20
)

const chosenBits = features.FracBits

// Width is how well the network does in integers of 32 bits of which so many
// are the fraction.
type Width struct {
	Bits         int        `json:"bits"`
	Problem      string     `json:"problem,omitempty"` // why there is no such network
	Accuracy     number.Num `json:"accuracy"`
	Balanced     number.Num `json:"balanced_accuracy"`
	StayRecall   number.Num `json:"stay_recall"`
	Agree        number.Num `json:"agree_with_float"`         // share of the answers
	LargestError number.Num `json:"largest_logit_difference"` // from float
}

// width is the network with any number of fractional bits: the arithmetic of
// mlp (mlp/fixed.go) and of features.FromRatio with that number in place of 11.
// With 11 it gives their bits.
type width struct {
	bits      uint
	neurons   []widthNeuron
	bias      int64 // of the output, shifted, with the rounding half
	threshold int64

	problem error
	tally   mlp.Confusion
	agree   int
	largest float64
}

type widthNeuron struct {
	binaries, ratios []int64 // weights; those of 0/1 features are shifted
	bias, out        int64
}

// fraction is a Ratio feature before it is rounded.
type fraction struct{ num, den int64 }

// newWidth rounds a model. Where its weights do not fit, or its sums could
// overflow, the width has a problem and no neurons.
func newWidth(m *mlp.Model, fractionBits uint) *width {
	w := &width{bits: fractionBits}
	half := int64(1) << (fractionBits - 1)
	w.threshold = w.round("threshold", m.Cut())
	w.bias = w.round("biases[1]", m.Biases[1][0])<<fractionBits + half
	outSum := int64(0)
	for j, row := range m.Weights[0] {
		n := widthNeuron{
			bias: w.round("biases[0]", m.Biases[0][j])<<fractionBits + half,
			out:  w.round("weights[1]", m.Weights[1][0][j]),
		}
		sum := int64(0)
		for i, x := range row {
			q := w.round("weights[0]", x)
			sum += max(q, -q)
			if m.Set.Features[i].Kind == features.Binary {
				n.binaries = append(n.binaries, q<<fractionBits)
			} else {
				n.ratios = append(n.ratios, q)
			}
		}
		w.checkSum(sum, n.bias)
		outSum += max(n.out, -n.out)
		w.neurons = append(w.neurons, n)
	}
	w.checkSum(outSum, w.bias)
	return w
}

func (w *width) round(what string, x float64) int64 {
	q := math.Round(math.Ldexp(x, int(w.bits)))
	if !(q >= math.MinInt32 && q <= math.MaxInt32) {
		w.problem = fmt.Errorf("%s: %g does not fit", what, x)
		return 0
	}
	return int64(q)
}

// checkSum is the check of mlp.Model.Validate: inputs are at most 2^31.
func (w *width) checkSum(weights, bias int64) {
	if weights > (math.MaxInt64-max(bias, -bias))>>31 {
		w.problem = fmt.Errorf("a sum of weights of %g could overflow the accumulator", math.Ldexp(float64(weights), -int(w.bits)))
	}
}

// logit takes the 0/1 features as features.Vector has them, and the others.
func (w *width) logit(set uint32, ratios []fraction) int64 {
	var x [features.MaxRatio]int64
	for i, r := range ratios {
		x[i] = fromRatio(r, w.bits)
	}
	sum := w.bias
	for j := range w.neurons {
		n := &w.neurons[j]
		acc := n.bias
		for b := set; b != 0; b &= b - 1 {
			acc += n.binaries[bits.TrailingZeros32(b)]
		}
		for i, weight := range n.ratios {
			acc += weight * x[i]
		}
		sum += n.out * min(max(acc>>w.bits, 0), math.MaxInt32)
	}
	return min(max(sum>>w.bits, math.MinInt32), math.MaxInt32)
}

// fromRatio is features.FromRatio: its steps, with the limits that the number of
// fractional bits sets.
func fromRatio(r fraction, fractionBits uint) int64 {
	if r.den == 0 {
		return 0
	}
	n, d := magnitude(r.num), magnitude(r.den)
	if wide := uint64(1) << (62 - fractionBits); n >= wide || d >= wide {
		n >>= fractionBits + 2
		d >>= fractionBits + 2
	}
	q := uint64(math.MaxUint64)
	if d > 0 {
		n <<= fractionBits
		q = n / d
		if rest := n - q*d; rest >= d-rest {
			q++
		}
	}
	if (r.num < 0) != (r.den < 0) {
		return -int64(min(q, 1<<31))
	}
	return int64(min(q, math.MaxInt32))
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// add judges one decision, whose float logit and answer are given.
func (w *width) add(set uint32, ratios []fraction, label, float uint8, logit float64) {
	if w.problem != nil {
		return
	}
	q := w.logit(set, ratios)
	said := answer(q >= w.threshold)
	w.tally.Add(label, said)
	if said == float {
		w.agree++
	}
	w.largest = max(w.largest, math.Abs(math.Ldexp(float64(q), -int(w.bits))-logit))
}

func (w *width) result() Width {
	r := Width{Bits: int(w.bits), Accuracy: number.Num(w.tally.Accuracy()), Balanced: number.Num(w.tally.Balanced()),
		StayRecall: number.Num(w.tally.Recall(mlp.Stay)), Agree: number.Share(w.agree, w.tally.Rows()), LargestError: number.Num(w.largest)}
	if w.problem != nil {
		r.Problem, r.LargestError = w.problem.Error(), number.Num(math.NaN())
	}
	return r
}

func answer(migrate bool) uint8 {
	if migrate {
		return mlp.Migrate
	}
	return mlp.Stay
}
