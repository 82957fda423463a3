// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"mllb/bench/measure"
	"mllb/internal/figure"
)

// plotDistribution draws how often each value of a histogram was met, a line an
// arm. Under a logarithm, what was never met has no place.
func (r *Report) plotDistribution(w *WorkloadResult, x, y string, logs bool, of func(*ArmResult) []uint64) (*figure.Plot, error) {
	most := 0
	for i := range w.Arms {
		most = max(most, len(of(&w.Arms[i])))
	}
	width := 1
	for _, next := range steps {
		if most <= maxDots*width {
			break
		}
		width = next
	}
	if width > 1 {
		x += fmt.Sprintf(" (by %d)", width)
	}
	p := figure.New(x, y)
	drawn := 0
	for i := range w.Arms {
		points := shares(of(&w.Arms[i]), width, (most+width-1)/width, logs)
		drawn += len(points)
		if err := p.Line(figure.Cut(w.Arms[i].Arm, nameWidth), kind(i), points); err != nil {
			return nil, err
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.X.Min, p.X.Max = 0, max(p.X.Max, 1)
	p.X.Tick.Marker = plot.TickerFunc(wholeTicks)
	if logs {
		p.Y.Max = 100
		figure.Log(&p.Y, p.Y.Min)
	} else {
		p.Y.Min, p.Y.Max = 0, max(1.05*p.Y.Max, 1)
	}
	return p, nil
}

// shares are the percentages of so many bins of that width.
func shares(h []uint64, width, bins int, logs bool) (points plotter.XYs) {
	sums, total := make([]uint64, bins), uint64(0)
	for at, n := range h {
		sums[at/width] += n
		total += n
	}
	for i, n := range sums {
		if total > 0 && (n > 0 || !logs) {
			points = append(points, plotter.XY{X: float64(i * width), Y: 100 * float64(n) / float64(total)})
		}
	}
	return points
}

// steps are round numbers above 1.
var steps = []int{2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}

// wholeTicks has at most about ten, at whole numbers: there are no half tasks.
func wholeTicks(_, most float64) (ticks []plot.Tick) {
	step := 1
	for _, next := range steps {
		if most/float64(step) <= 10 {
			break
		}
		step = next
	}
	for x := 0; float64(x) <= most; x += step {
		ticks = append(ticks, plot.Tick{Value: float64(x), Label: fmt.Sprint(x)})
	}
	return ticks
}

// plotLatency draws the distribution function of each function's durations. A
// bucket's calls are taken to have taken as long as its end.
func (r *Report) plotLatency() (*figure.Plot, error) {
	p := figure.New("µs", "% of the calls")
	drawn := 0
	for _, l := range r.Latency {
		for i := range l.Functions {
			f := &l.Functions[i]
			points := distribution(&f.Histogram)
			label := f.Name
			if f.By == "user" {
				label += " (mllbd)"
			}
			if len(r.Latency) > 1 {
				label += ", " + l.Kernel
			}
			if err := p.Line(figure.Cut(label, 2*nameWidth), kind(drawn), points); err != nil {
				return nil, err
			}
			drawn += min(1, len(points))
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	figure.Log(&p.X, p.X.Min)
	p.Y.Min, p.Y.Max = 0, 100
	return p, nil
}

func distribution(h *measure.Histogram) (points plotter.XYs) {
	sum := uint64(0)
	for _, b := range h.Buckets {
		sum += b.N
		if b.To > 0 && b.N > 0 {
			points = append(points, plotter.XY{X: float64(b.To) / float64(time.Microsecond), Y: 100 * float64(sum) / float64(max(h.Count, 1))})
		}
	}
	return points
}

// plotTimes draws every run's time against stock's median, and each arm's
// median with its interval.
func (r *Report) plotTimes() (*figure.Plot, error) {
	p := figure.New("time, stock = 1", "")
	var names []string
	var shown []*WorkloadResult
	for i := range r.Workloads {
		if w := &r.Workloads[i]; w.Arms[0].Values[metrics[0].Name].N > 0 {
			names, shown = append(names, cut(w.Name, 18)), append(shown, w)
		}
	}
	drawn, arms := 0, len(r.Config.Arms)
	for j, arm := range r.Config.Arms {
		var runs plotter.XYs
		var medians []figure.Dot
		for i, w := range shown {
			v, stock := w.Arms[j].Values[metrics[0].Name], float64(w.Arms[0].Values[metrics[0].Name].Median)
			if v.N == 0 {
				continue
			}
			y := figure.Row(i, len(shown), 0.7*((float64(j)+0.5)/float64(arms)-0.5))
			for _, run := range v.values {
				runs = append(runs, plotter.XY{X: run / stock, Y: y})
			}
			medians = append(medians, figure.Dot{X: float64(v.Median) / stock, Lo: float64(v.Lo) / stock, Hi: float64(v.Hi) / stock, Y: y})
		}
		drawn += len(medians)
		if err := p.Cloud(kind(j), runs); err != nil {
			return nil, err
		}
		if err := p.Dots(figure.Cut(arm.Name, nameWidth), kind(j), medians); err != nil {
			return nil, err
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.Rows(names, max(1.5, 0.9*float64(arms)))
	if figure.Spans(p.X.Min, p.X.Max) {
		figure.Log(&p.X, p.X.Min)
	}
	return p, nil
}
