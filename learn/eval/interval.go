// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math"

	"github.com/aclements/go-moremath/stats"

	"mllb/internal/number"
)

// Interval is a 95 % confidence interval, unknown where the data has one run.
type Interval struct {
	Lo number.Num `json:"lo"`
	Hi number.Num `json:"hi"`
}

func (i Interval) String() string {
	if !i.known() {
		return "-"
	}
	return i.Lo.Points(3) + ".." + i.Hi.Points(3)
}

// within is what of it is possible.
func (i Interval) within(lo, hi number.Num) Interval { return Interval{max(i.Lo, lo), min(i.Hi, hi)} }

func (i Interval) known() bool { return i.Lo.Known() && i.Hi.Known() }

// sample is the tallies of runs, the unit that was drawn: the decisions of one run
// are alike, and an interval over decisions would be too narrow.
type sample []*tally

func (s sample) sum() (t tally) {
	for _, run := range s {
		t.add(run, 1)
	}
	return t
}

func (t *tally) add(other *tally, sign int) {
	for j := range t {
		for y := range t[j].N {
			for a := range t[j].N[y] {
				t[j].N[y][a] += sign * other[j].N[y][a]
			}
		}
	}
}

// interval is that of a statistic of the sum, by the jackknife over runs (Efron and
// Stein 1981) and Student's t with as many degrees of freedom as there are runs, less
// one. It is unknown where a run has all decisions of a label.
func (s sample) interval(of func(*tally) float64) Interval {
	n := float64(len(s))
	sum := s.sum()
	without := make([]float64, len(s))
	for i, run := range s {
		rest := sum
		rest.add(run, -1)
		without[i] = of(&rest)
	}
	squares := 0.0
	for mean := stats.Mean(without); len(without) > 0; without = without[1:] {
		squares += (without[0] - mean) * (without[0] - mean)
	}
	if n < 2 || math.IsNaN(squares) {
		return Interval{undefined, undefined}
	}
	half := stats.InvCDF(stats.TDist{V: n - 1})(0.975) * math.Sqrt(squares*(n-1)/n)
	x := of(&sum)
	return Interval{number.Num(x - half), number.Num(x + half)}
}

// intervals are those of the balanced accuracy of the first n judges.
func (s sample) intervals(n int) []Interval {
	all := make([]Interval, n)
	for j := range all {
		all[j] = s.interval(func(t *tally) float64 { return t[j].Balanced() }).within(0, 1)
	}
	return all
}
