// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"

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
	Ratio number.Num `json:"ratio"` // to stock's; its interval is as rough as ten runs make it
	Lo    number.Num `json:"ratio_lo"`
	Hi    number.Num `json:"ratio_hi"`
}

// p90 is the 90th percentile, interpolated.
func p90(values []float64) float64 { return stats.Sample{Xs: values}.Quantile(0.9) }

// tenth is how the slowest tenth of an arm compares with that of stock.
var tenth = relation{func(arm, stock []float64) float64 { return p90(arm) / p90(stock) }, fewestTenth}

// slowest is unknown of too few runs.
func slowest(arm string, p pair, seed uint64) Slowest {
	s := Slowest{number.Unknown, number.Unknown, number.Unknown, number.Unknown}
	if len(p.arm) < fewestTenth {
		return s
	}
	s.Value = number.Num(p90(p.arm))
	if g := geoMean(arm, []pair{p}, tenth, seed); len(p.stock) >= fewestTenth {
		s.Ratio, s.Lo, s.Hi = g.Ratio, g.Lo, g.Hi
	}
	return s
}

// compareSlowest holds the slowest tenths against those of stock. Workloads with
// too few runs are left out of the means.
func (r *Report) compareSlowest() {
	for j, a := range r.Config.Arms {
		var pairs []pair
		for i := range r.Workloads {
			arms := r.Workloads[i].Arms
			p := pair{arms[0].Values[metrics[0].Name].values, arms[j].Values[metrics[0].Name].values}
			arms[j].Slowest = slowest(a.Name, p, r.Config.Seed)
			if arms[j].Slowest.Ratio.Known() {
				pairs = append(pairs, p)
			}
		}
		if j > 0 && len(pairs) > 0 {
			r.SlowestMeans = append(r.SlowestMeans, geoMean(a.Name, pairs, tenth, r.Config.Seed))
		}
	}
}

func (r *Report) drawSlowest(w io.Writer) {
	if len(r.SlowestMeans) == 0 {
		return
	}
	fmt.Fprintf(w, "\nslowest tenth of the runs (90th percentile), and relative to that of stock, 95 %% interval; geometric mean\n")
	n := longest(&r.Config)
	for _, wl := range r.Workloads {
		for j, a := range wl.Arms {
			s := a.Slowest
			fmt.Fprintf(w, "  %-*s  %-*s %10s", n[0], first(j == 0, cut(wl.title(), nameWidth)), n[1], cut(a.Arm, nameWidth), s.Value)
			if j > 0 {
				fmt.Fprintf(w, " %8s %s", ratio(s.Ratio), interval(s.Lo, s.Hi, ratio))
			}
			fmt.Fprintln(w)
		}
	}
	for j, g := range r.SlowestMeans {
		fmt.Fprintf(w, "  %-*s  %-*s %10s %8s %-14s of %d\n", n[0], first(j == 0, "mean"), n[1], cut(g.Arm, nameWidth), "", ratio(g.Ratio), interval(g.Lo, g.Hi, ratio), g.Workloads)
	}
}
