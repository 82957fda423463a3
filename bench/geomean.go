// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
	"slices"

	"mllb/internal/number"
)

// GeoMean is the geometric mean of an arm's ratios to stock over the workloads,
// each weighed the same. The interval is the percentile bootstrap's, which
// draws the runs of each workload and arm anew; so it speaks of these
// workloads, and of no others.
type GeoMean struct {
	Arm       string `json:"arm"`
	Workloads int    `json:"workloads"`
	Relative
}

// fewestDrawn is how many runs a bootstrap of them needs to mean anything: as many
// as the interval of a median.
const fewestDrawn = 6

// pair is the runs of stock and of an arm on one workload.
type pair struct{ stock, arm []float64 }

// relation is a way to hold runs of an arm against those of stock, of which an
// interval needs so many of each.
type relation struct {
	of      func(arm, stock []float64) float64
	least   int
	widened bool // its interval, for the number of runs
}

// typical is how a run of an arm compares with one of stock.
var typical = relation{of: func(arm, stock []float64) float64 { return middle(quotients(arm, stock)) }, least: fewestDrawn}

// geoMean leaves out what has no ratio.
func geoMean(arm string, pairs []pair, by relation, seed uint64) GeoMean {
	g := GeoMean{arm, 0, unrelated}
	fewest := math.MaxInt
	pairs = slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool {
		return len(p.stock) == 0 || len(p.arm) == 0 || quotients(p.arm, p.stock) == nil
	})
	sum := 0.0
	for _, p := range pairs {
		fewest = min(fewest, len(p.stock), len(p.arm))
		sum += math.Log(by.of(p.arm, p.stock))
	}
	g.Workloads = len(pairs)
	if len(pairs) == 0 {
		return g
	}
	g.Ratio = number.Num(math.Exp(sum / float64(len(pairs))))
	if fewest >= by.least {
		tail := (1 - confidence) / 2
		if by.widened {
			tail = widened(fewest)
		}
		g.Lo, g.Hi = bootstrap(pairs, by, tail, rand.New(rand.NewPCG(seed, 1)))
	}
	return g
}

func bootstrap(pairs []pair, by relation, tail float64, rng *rand.Rand) (lo, hi number.Num) {
	means := make([]float64, resamples)
	for _, p := range pairs {
		stock, arm := make([]float64, len(p.stock)), make([]float64, len(p.arm))
		for i := range means {
			redraw(rng, stock, p.stock)
			redraw(rng, arm, p.arm)
			means[i] += math.Log(by.of(arm, stock)) / float64(len(pairs))
		}
	}
	slices.Sort(means)
	beyond := int(math.Round(tail * resamples))
	return number.Num(math.Exp(means[beyond])), number.Num(math.Exp(means[resamples-1-beyond]))
}
