// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"github.com/aclements/go-moremath/stats"

	"mllb/internal/number"
)

// fewestTenth is how many runs have a slowest tenth.
const fewestTenth = 10

// Slowest is the 90th percentile of an arm's runs, and how it compares with that
// of stock: an arm may be as fast as stock on average and still have fewer runs
// that take very long.
type Slowest struct {
	Value number.Num `json:"p90"`
	Relative
}

// p90 is the 90th percentile, interpolated.
func p90(values []float64) float64 { return stats.Sample{Xs: values}.Quantile(0.9) }

// tenth is how the slowest tenth of an arm compares with that of stock.
var tenth = relation{of: func(arm, stock []float64) float64 { return p90(arm) / p90(stock) }, least: fewestTenth}

// slowest is unknown of too few runs.
func slowest(arm string, p pair, seed uint64) Slowest {
	s := Slowest{number.Unknown, unrelated}
	if len(p.arm) < fewestTenth {
		return s
	}
	s.Value = number.Num(p90(p.arm))
	if g := geoMean(arm, []pair{p}, tenth, seed); len(p.stock) >= fewestTenth {
		s.Relative = g.Relative
	}
	return s
}
