// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"fmt"
	"math"
	"strconv"

	"mllb/features"
)

// Range is the lowest and the highest value that a feature had in training.
type Range [2]float64

// Ranges returns the range of each feature over the rows of the data.
func (d *Data) Ranges() []Range {
	n := len(d.Set.Features)
	ranges := make([]Range, n)
	for k := range ranges {
		ranges[k] = Range{math.Inf(1), math.Inf(-1)}
	}
	for i := range d.Rows() {
		for k, x := range d.Row(i) {
			r := &ranges[k]
			r[0], r[1] = min(r[0], float64(x)), max(r[1], float64(x))
		}
	}
	for k := range ranges {
		ranges[k] = Range{shortest(ranges[k][0]), shortest(ranges[k][1])}
	}
	return ranges
}

// shortest is the number of the fewest digits that is the same float32.
func shortest(x float64) float64 {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64)
	return x
}

func (m *Model) checkRanges() error {
	if m.Ranges == nil {
		return nil
	}
	if len(m.Ranges) != len(m.Set.Features) {
		return fmt.Errorf("ranges: %d, want one for each of the %d features", len(m.Ranges), len(m.Set.Features))
	}
	for k, r := range m.Ranges {
		if !(r[0] <= r[1]) || math.IsInf(r[0], 0) || math.IsInf(r[1], 0) { // also refuses NaN
			return fmt.Errorf("ranges[%d]: %g to %g is no range", k, r[0], r[1])
		}
	}
	return nil
}

// Bounds is a model's ranges as inference reads them.
type Bounds struct {
	zero, one uint32 // 0/1 features that always were 0, and always 1
	low, high [features.MaxRatio]int32
}

// Limits returns the ranges of the model in Q21.11, in the order of its set;
// nil if it has none.
func (m *Model) Limits() (low, high []int32) {
	for k, r := range m.Ranges {
		l, h := outward(r)
		if m.Set.Features[k].Kind == features.Binary {
			l, h = 0, features.One
			if r[0] > 0 {
				l = features.One
			}
			if r[1] < 1 {
				h = 0
			}
		}
		low, high = append(low, l), append(high, h)
	}
	return low, high
}

// Bounds returns the ranges of the model for inference; nil if it has none.
func (m *Model) Bounds() *Bounds {
	if m.Ranges == nil {
		return nil
	}
	b := new(Bounds)
	low, high := m.Limits()
	bit, ratio := 0, 0
	for k := range low {
		if m.Set.Features[k].Kind == features.Binary {
			b.one |= uint32(low[k]>>features.FracBits) << bit
			b.zero |= uint32(1-high[k]>>features.FracBits) << bit
			bit++
			continue
		}
		b.low[ratio], b.high[ratio] = low[k], high[k]
		ratio++
	}
	return b
}

// outward rounds a range to Q21.11 such that every feature whose float32 lies in
// it does so in Q21.11 as well, as long as features.FromRatio is exact: for terms
// below 2^51, which no counter of a kernel comes near.
func outward(r Range) (low, high int32) {
	below := math.Nextafter32(float32(r[0]), float32(math.Inf(-1)))
	above := math.Nextafter32(float32(r[1]), float32(math.Inf(1)))
	clamp := func(x float64) int32 { return int32(min(max(x, math.MinInt32), math.MaxInt32)) }
	return clamp(math.Floor(float64(below) * features.One)), clamp(math.Ceil(float64(above) * features.One))
}

// InRange reports whether every feature is within its range. A decision that is
// not is out of distribution: unlike anything that the model learned from. Without
// ranges everything is in range.
func (b *Bounds) InRange(v *features.Vector) bool {
	if b == nil {
		return true
	}
	in := v.Bits&b.zero == 0 && v.Bits&b.one == b.one
	for k, x := range v.Ratios {
		in = in && x >= b.low[k] && x <= b.high[k]
	}
	return in
}

// OutOfRange returns the indices, in the model's set, of the features that are
// out of their ranges.
func (m *Model) OutOfRange(v *features.Vector) (out []int) {
	low, high := m.Limits()
	q := make([]int32, len(m.Set.Features))
	m.Set.Unpack(q, v)
	for k := range low {
		if q[k] < low[k] || q[k] > high[k] {
			out = append(out, k)
		}
	}
	return out
}
