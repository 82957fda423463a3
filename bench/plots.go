// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"mllb/bench/measure"
	"mllb/internal/figure"
)

// plotDistribution draws how often each value of a histogram was met, a line an
// arm. Under a logarithm, what was never met has no place.
func (r *Report) plotDistribution(w *WorkloadResult, x, y string, logs bool, of func(*ArmResult) []uint64) (*plot.Plot, error) {
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
	p.Legend.Top = true
	drawn := 0
	for i := range w.Arms {
		points := shares(of(&w.Arms[i]), width, (most+width-1)/width, logs)
		drawn += len(points)
		if err := line(p, w.Arms[i].Arm, i, points); err != nil {
			return nil, err
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.X.Min, p.X.Max = 0, max(p.X.Max, 1)
	p.X.Tick.Marker = plot.TickerFunc(wholeTicks)
	if logs {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), 100
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
func (r *Report) plotLatency() (*plot.Plot, error) {
	p := figure.New("µs", "% of the calls")
	p.Legend.Top = true
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
			if err := line(p, label, drawn, points); err != nil {
				return nil, err
			}
			drawn += min(1, len(points))
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = 0, 100
	p.Legend.Left = true
	if p.X.Min == p.X.Max {
		p.X.Max *= 2
	}
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
func (r *Report) plotTimes() (*plot.Plot, error) {
	p := figure.New("", "time, stock = 1")
	p.Legend.Top = true
	p.Legend.Top = true
	names := make([]string, len(r.Workloads))
	arms := len(r.Config.Arms)
	drawn := 0
	for j, arm := range r.Config.Arms {
		var marks timeMarks
		for i := range r.Workloads {
			w := &r.Workloads[i]
			names[i] = cut(w.Name, 18)
			stock := w.Arms[0].Values[metrics[0].Name]
			if v := w.Arms[j].Values[metrics[0].Name]; stock.N > 0 && v.N > 0 {
				marks.add(float64(i)+0.7*(float64(j)+0.5)/float64(arms)-0.35, &v, float64(stock.Median))
			}
		}
		drawn += len(marks.medians)
		if err := marks.draw(p, arm.Name, j); err != nil {
			return nil, err
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.Y.Max += 0.06 * float64(arms) * (p.Y.Max - p.Y.Min) // room for the legend
	return p, nil
}

// timeMarks is one arm over the workloads.
type timeMarks struct {
	runs, medians plotter.XYs
	intervals     struct {
		plotter.XYs
		plotter.YErrors
	}
}

func (t *timeMarks) add(x float64, v *Measured, stock float64) {
	m := float64(v.Median) / stock
	t.medians = append(t.medians, plotter.XY{X: x, Y: m})
	for _, run := range v.values {
		t.runs = append(t.runs, plotter.XY{X: x, Y: run / stock})
	}
	if v.Lo.Known() && v.Hi.Known() {
		t.intervals.XYs = append(t.intervals.XYs, plotter.XY{X: x, Y: m})
		t.intervals.YErrors = append(t.intervals.YErrors, struct{ Low, High float64 }{m - float64(v.Lo)/stock, float64(v.Hi)/stock - m})
	}
}

func (t *timeMarks) draw(p *plot.Plot, label string, i int) error {
	if len(t.medians) == 0 {
		return nil
	}
	runs, err := plotter.NewScatter(t.runs)
	if err != nil {
		return err
	}
	faint := colour(i)
	faint.A = 0x50
	faint.R, faint.G, faint.B = faded(faint.R), faded(faint.G), faded(faint.B) // colours are premultiplied
	runs.GlyphStyle = draw.GlyphStyle{Color: faint, Radius: vg.Points(1.2), Shape: draw.CircleGlyph{}}
	p.Add(runs)
	if len(t.intervals.XYs) > 0 {
		bars, err := plotter.NewYErrorBars(t.intervals)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = colour(i), vg.Points(1.3)
		p.Add(bars)
	}
	medians, err := plotter.NewScatter(t.medians)
	if err != nil {
		return err
	}
	medians.GlyphStyle = draw.GlyphStyle{Color: colour(i), Radius: vg.Points(2.5), Shape: draw.BoxGlyph{}}
	p.Add(medians)
	p.Legend.Add(label, medians)
	return nil
}

func faded(c uint8) uint8 { return uint8(int(c) * 0x50 / 0xff) }
