// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/aclements/go-moremath/stats"

	"mllb/internal/number"
)

// Relative is a figure of an arm's runs by the same figure of stock's.
type Relative struct {
	Ratio number.Num `json:"ratio"`
	Lo    number.Num `json:"ratio_lo"` // of its interval
	Hi    number.Num `json:"ratio_hi"`
}

var unrelated = Relative{number.Unknown, number.Unknown, number.Unknown}

// Mean is the geometric mean of an arm's runs, and how it compares with that of
// stock. Every run counts in it: where a third of stock's runs take twice as long as
// the rest, and none of the arm's, the means differ by a quarter, and the median of
// the quotients may be 1.
type Mean struct {
	Value number.Num `json:"value"`
	Relative
}

// average is how the mean of an arm's runs compares with that of stock's.
var average = relation{of: func(arm, stock []float64) float64 { return stats.GeoMean(arm) / stats.GeoMean(stock) }, least: fewestDrawn, widened: true}

func mean(arm string, p pair, seed uint64) Mean {
	return Mean{number.Num(stats.GeoMean(p.arm)), geoMean(arm, []pair{p}, average, seed).Relative}
}

// widened is the share of the bootstrap's means beyond each end of an interval of
// n runs: the percentile interval of a mean is too narrow where n is small, for the
// resamples spread by n-1 of n of the variance, and the normal quantile stands in for
// Student's (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section
// 3.2).
func widened(n int) float64 {
	t := stats.InvCDF(stats.TDist{V: float64(n - 1)})((1 - confidence) / 2)
	return stats.StdNormal.CDF(t * math.Sqrt(float64(n)/float64(n-1)))
}

// compareRuns holds the means and the slowest tenths against those of stock.
// Workloads with too few runs for a slowest tenth are left out of its mean.
func (r *Report) compareRuns() {
	for j, a := range r.Config.Arms {
		var all, tails []pair
		for i := range r.Workloads {
			arms := r.Workloads[i].Arms
			p := pair{arms[0].Values[metrics[0].Name].values, arms[j].Values[metrics[0].Name].values}
			arms[j].Mean, arms[j].Slowest = mean(a.Name, p, r.Config.Seed), slowest(a.Name, p, r.Config.Seed)
			all = append(all, p)
			if arms[j].Slowest.Ratio.Known() {
				tails = append(tails, p)
			}
		}
		if j == 0 {
			continue
		}
		r.RunMeans = append(r.RunMeans, geoMean(a.Name, all, average, r.Config.Seed))
		if len(tails) > 0 {
			r.SlowestMeans = append(r.SlowestMeans, geoMean(a.Name, tails, tenth, r.Config.Seed))
		}
	}
}

// slowestMean is the arm's, if it has one.
func (r *Report) slowestMean(arm string) (g GeoMean, ok bool) {
	for _, g := range r.SlowestMeans {
		if g.Arm == arm {
			return g, true
		}
	}
	return GeoMean{Relative: unrelated}, false
}

// drawRuns shows the means and the slowest tenths.
func (r *Report) drawRuns(w io.Writer) {
	n := longest(&r.Config)
	tails := len(r.SlowestMeans) > 0
	line := func(workload, arm, mean string, of Relative, p90 string, tail Relative, rest string) {
		text := fmt.Sprintf("%-*s  %-*s %10s %8s %-14s", n[0], workload, n[1], arm, mean, known(of.Ratio), known(of.Lo, of.Hi))
		if tails {
			text += fmt.Sprintf(" %13s %8s %-14s", p90, known(tail.Ratio), known(tail.Lo, tail.Hi))
		}
		fmt.Fprintln(w, strings.TrimRight(text+"  "+rest, " "))
	}
	head := fmt.Sprintf("%-*s  %-*s %10s %8s %-14s", n[0], "all runs", n[1], "arm", "mean, s", "vs stock", "95 %")
	if tails {
		head += fmt.Sprintf(" %13s %8s %s", "slowest tenth", "vs stock", "95 %")
	}
	fmt.Fprintf(w, "\n%s\n", strings.TrimRight(head, " "))
	for _, wl := range r.Workloads {
		for j, a := range wl.Arms {
			of, tail := a.Mean.Relative, a.Slowest.Relative
			if j == 0 {
				of, tail = unrelated, unrelated
			}
			line(first(j == 0, cut(wl.title(), nameWidth)), cut(a.Arm, nameWidth), a.Mean.Value.String(), of, a.Slowest.Value.String(), tail, "")
		}
	}
	for j, g := range r.RunMeans {
		rest := fmt.Sprintf("of %d", g.Workloads)
		tail, ok := r.slowestMean(g.Arm)
		if ok && tail.Workloads != g.Workloads {
			rest += fmt.Sprintf(", slowest tenth of %d", tail.Workloads)
		}
		line(first(j == 0, "mean"), cut(g.Arm, nameWidth), "", g.Relative, "", tail.Relative, rest)
	}
	fmt.Fprintln(w, "geometric mean and 90th percentile of the runs, and each relative to that of stock")
}

// known is a ratio or an interval, or nothing.
func known(ratios ...number.Num) string {
	switch {
	case !ratios[0].Known():
		return ""
	case len(ratios) == 1:
		return ratio(ratios[0])
	}
	return interval(ratios[0], ratios[1], ratio)
}
