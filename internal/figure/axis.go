// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// marks are the ticks of an axis of percentages.
var marks = []float64{0.01, 0.1, 1, 5, 20, 50, 80, 95, 99, 99.9, 99.99}

// logit is a scale of percentages on which 99 and 99.9 are as far apart as 1 and 0.1.
// What is beyond its ends is at them.
type logit struct{}

// Normalize implements plot.Normalizer.
func (logit) Normalize(lo, hi, x float64) float64 {
	of := func(x float64) float64 { return math.Log(x / (100 - x)) }
	return (of(min(max(x, lo), hi)) - of(lo)) / (of(hi) - of(lo))
}

// Percentages makes an axis one of percentages, whose data it has by now.
func Percentages(a *plot.Axis) {
	last := len(marks) - 1
	first, _ := slices.BinarySearch(marks, a.Min)
	if first > last || marks[first] > a.Min {
		first--
	}
	first = min(max(first, 0), last-1)
	end, _ := slices.BinarySearch(marks, a.Max)
	end = min(max(end, first+1), last)
	var ticks []plot.Tick
	for i := first; i <= end; i++ {
		label := trimmed(marks[i])
		if i == 0 && a.Min < marks[0] {
			label = "≤" + label
		}
		if i == last && a.Max > marks[last] {
			label = "≥" + label
		}
		ticks = append(ticks, plot.Tick{Value: marks[i], Label: label})
	}
	a.Min, a.Max, a.Scale = marks[first], marks[end], logit{}
	a.Tick.Marker = plot.ConstantTicks(thin(a, ticks))
}

// thin takes away the labels for which a short axis has no room: those of the ends stay.
func thin(a *plot.Axis, ticks []plot.Tick) []plot.Tick {
	const char, axis = 5.5, 150 // points
	at := func(t plot.Tick) float64 { return axis * a.Norm(t.Value) }
	room := func(s, t plot.Tick) bool {
		return math.Abs(at(s)-at(t)) > char/2*float64(len([]rune(s.Label))+len([]rune(t.Label)))+2
	}
	last := len(ticks) - 1
	kept := ticks[0]
	for i := 1; i < last; i++ {
		if room(kept, ticks[i]) && room(ticks[i], ticks[last]) {
			kept = ticks[i]
		} else {
			ticks[i].Label = ""
		}
	}
	return ticks
}

// log is a logarithmic scale. What is below its start, 0 too, is at it.
type log struct{}

// Normalize implements plot.Normalizer.
func (log) Normalize(lo, hi, x float64) float64 {
	return math.Log(max(x, lo)/lo) / math.Log(hi/lo)
}

// plain is a linear axis whose labels have the digits that tell them apart.
type plain struct{}

// Ticks implements plot.Ticker.
func (plain) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i := range ticks {
		if t := &ticks[i]; !t.IsMinor() {
			if math.Abs(t.Value) < 1e-9*(hi-lo) { // what adding up left of 0
				t.Value = 0
			}
			t.Label = trimmed(t.Value)
		}
	}
	return ticks
}

// decades is how many a logarithmic axis shows at most.
const decades = 8

// Log makes an axis logarithmic, from the decade of least on. It says at its start
// that there may be less.
func Log(a *plot.Axis, least float64) {
	hi := math.Pow(10, math.Ceil(math.Log10(a.Max)-1e-9))
	lo := max(math.Pow(10, math.Floor(math.Log10(least)+1e-9)), hi/math.Pow(10, decades))
	if !(lo < hi) {
		lo = hi / 10
	}
	var ticks []plot.Tick
	for x := lo; x < hi*1.1; x *= 10 {
		label := trimmed(x)
		if x == lo && a.Min < lo {
			label = "≤" + label
		}
		ticks = append(ticks, plot.Tick{Value: x, Label: label})
		for k := 2.0; k < 10 && x*k < hi; k++ {
			ticks = append(ticks, plot.Tick{Value: x * k})
		}
	}
	a.Min, a.Max, a.Scale, a.Tick.Marker = lo, hi, log{}, plot.ConstantTicks(ticks)
}

// Spans says whether values are more than a decade apart, so that an axis of them
// should be logarithmic.
func Spans(values ...float64) bool {
	values = slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return !(x > 0) })
	return len(values) > 0 && slices.Max(values) > 10*slices.Min(values)
}

// Rows names the rows of p, the first at the top, and makes it as high as they need:
// so many lines of text each. Row is where one is on the axis.
func (p *Plot) Rows(names []string, lines float64) {
	turned := slices.Clone(names)
	slices.Reverse(turned)
	p.NominalY(turned...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	p.Y.Padding = 8
	const below = 34 // what the other axis takes
	p.height = max(vg.Length(lines*11*float64(len(names)))+below, 70)
}

// Square makes p as high as wide.
func (p *Plot) Square() { p.height = Width }

// Row is the place of row i of n, moved down by a share of a row.
func Row(i, n int, down float64) float64 { return float64(n-1-i) - down }
