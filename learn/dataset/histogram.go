// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"math/rand/v2"
	"slices"

	"mllb/features"
)

// bins is how many bars a distribution is drawn with.
const bins = 16

// sampleSize is how many values of a feature are kept for each label: enough
// that no bar is off by more than one step of eight.
const sampleSize = 4096

// Feature is the distribution of one feature among the usable rows, by label.
type Feature struct {
	Name string        `json:"name"`
	Kind features.Kind `json:"-"`
	Low  float64       `json:"low"` // of all values
	High float64       `json:"high"`
	Mean [2]float64    `json:"mean"`      // by label; of a 0/1 feature, the share of ones
	Bins [2][]int64    `json:"histogram"` // of a sample of 4,096 rows of each label, between First and Last
	From float64       `json:"from"`      // where the first bar begins: the 1st percentile of the sample
	To   float64       `json:"to"`        // where the last ends: the 99th; what lies outside counts in these
	n    [2]int64
	sum  [2]float64
	some [2][]float32 // a reservoir: each row is as likely to be in it
	rng  *rand.Rand
}

func newFeature(f *features.Feature) *Feature {
	return &Feature{Name: f.Name, Kind: f.Kind, rng: rand.New(rand.NewPCG(1, 2))}
}

func (f *Feature) add(x float32, label uint8) {
	v := float64(x)
	if f.n == [2]int64{} {
		f.Low, f.High = v, v
	}
	f.Low, f.High = min(f.Low, v), max(f.High, v)
	f.n[label]++
	f.sum[label] += v
	if some := f.some[label]; len(some) < sampleSize {
		f.some[label] = append(some, x)
	} else if at := f.rng.Int64N(f.n[label]); at < sampleSize {
		some[at] = x
	}
}

func (f *Feature) finish() {
	all := slices.Concat(f.some[0], f.some[1])
	slices.Sort(all)
	if len(all) == 0 {
		return
	}
	f.From, f.To = float64(all[len(all)/100]), float64(all[len(all)-1-len(all)/100])
	for y := range f.some {
		f.Bins[y] = make([]int64, bins)
		if f.n[y] > 0 {
			f.Mean[y] = f.sum[y] / float64(f.n[y])
		}
		for _, x := range f.some[y] {
			f.Bins[y][f.bin(float64(x))]++
		}
	}
}

func (f *Feature) bin(x float64) int {
	if f.To <= f.From {
		return 0
	}
	return max(0, min(bins-1, int((x-f.From)/(f.To-f.From)*bins)))
}
