// SPDX-License-Identifier: Apache-2.0

package features

import (
	"fmt"
	"math"
)

// Q21.11: a real number as an int32 of 1/2048ths. Every feature, weight,
// activation and logit of the integer network is one.
const (
	FracBits = 11
	One      = 1 << FracBits
)

// A magnitude of wideRatio or more would not leave room for the product with
// One in 63 bits; both terms are then scaled down by 2^wideShift.
const (
	wideRatio = 1 << 51
	wideShift = 13
)

// FromRatio converts num/den to Q21.11. It is the one definition that the
// implementations in C follow to the bit:
//
//  1. den == 0 gives 0.
//  2. Signs are taken off: n = |num|, d = |den|, unsigned 64 bits.
//  3. If n >= 2^51 or d >= 2^51, both are shifted right by 13. If that makes d
//     zero, the quotient was over 2^38: saturate.
//  4. q = n*2048 / d, rounded half up: plus one if the remainder r has
//     r >= d - r. No step needs more than 64 bits.
//  5. The sign is put back and q saturated to [-2^31, 2^31-1].
//
// Without step 3 the result is the exact quotient rounded half away from zero.
// With it, it is within one 2048th of that for |num| <= |den|, and within a
// relative 2^-17 otherwise.
func FromRatio(num, den int64) int32 {
	if den == 1 && num >= -(1<<20) && num < 1<<20 {
		return int32(num << FracBits) // the common case; the same bits as below
	}
	if den == 0 {
		return 0
	}
	negative := (num < 0) != (den < 0)
	n, d := magnitude(num), magnitude(den)
	if n >= wideRatio || d >= wideRatio {
		n >>= wideShift
		d >>= wideShift
		if d == 0 {
			return saturate(math.MaxUint64, negative)
		}
	}
	n <<= FracBits
	q := n / d
	if r := n - q*d; r >= d-r {
		q++
	}
	return saturate(q, negative)
}

// magnitude returns |x|; that of the smallest int64 is 2^63.
func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func saturate(q uint64, negative bool) int32 {
	if negative {
		return int32(-int64(min(q, 1<<31)))
	}
	return int32(min(q, math.MaxInt32))
}

// FromFloat converts a weight or a bias to Q21.11, rounding half away from
// zero. NaN, infinities and what does not fit are an error: features saturate,
// a model is refused.
func FromFloat(x float64) (int32, error) {
	q := math.Round(x * One)
	if !(q >= math.MinInt32 && q <= math.MaxInt32) { // also false for NaN
		return 0, fmt.Errorf("%g does not fit Q21.11", x)
	}
	return int32(q), nil
}

// ToFloat returns the real number that q stands for; it is exact.
func ToFloat(q int32) float64 { return float64(q) / One }
