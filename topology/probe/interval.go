// SPDX-License-Identifier: Apache-2.0

package probe

import "slices"

// Interval is the median of what was measured, and where it lies with about
// 95 % confidence.
type Interval struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// medianRanks[n] is the k for which the k-th smallest and the k-th largest of n
// measurements hold the median between them at 93 % or more, whatever their
// distribution (the sign test); below 5 even the extremes do not.
var medianRanks = [...]int{5: 1, 6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 13: 3, 14: 3, 15: 4, 20: 6, 25: 8, 30: 10}

// interval orders what was measured.
func interval(x []float64) Interval {
	if len(x) == 0 {
		return Interval{}
	}
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	k := 1
	for _, rank := range medianRanks[:min(n+1, len(medianRanks))] {
		k = max(k, rank)
	}
	return Interval{(x[(n-1)/2] + x[n/2]) / 2, x[k-1], x[n-k]}
}

// scaled is the interval of what was measured, in other units.
func (i Interval) scaled(by float64) Interval {
	return Interval{i.Median * by, i.Low * by, i.High * by}
}
