// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"html/template"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"mllb/internal/figure"
)

// picture is a figure of the page. Number is that of the paper's figure.
type picture struct {
	Number int
	Title  string
	SVG    template.HTML
}

// palette tells arms apart; stock is black. Beyond it lines are dashed.
var palette = []color.RGBA{
	figure.Black, figure.Blue, figure.Orange, figure.Green,
	figure.Purple, figure.SkyBlue, figure.Vermilion, figure.Grey,
}

func colour(i int) color.RGBA { return palette[i%len(palette)] }

func dashes(i int) []vg.Length {
	if i < len(palette) {
		return nil
	}
	return []vg.Length{vg.Points(4), vg.Points(2)}
}

const (
	smallWidth  = 10 * vg.Centimeter
	smallHeight = 6.5 * vg.Centimeter
)

// pictures draws what the report has data for.
func (r *Report) pictures() (all []picture, err error) {
	add := func(number int, title string, w, h vg.Length, p *plot.Plot, drawn error) {
		if err != nil || p == nil && drawn == nil {
			return
		}
		if err = drawn; err == nil {
			var text template.HTML
			if text, err = figure.SVG(p, w, h); err == nil {
				all = append(all, picture{number, title, text})
				return
			}
		}
		err = fmt.Errorf("figure %q: %w", title, err)
	}
	p, drawn := r.plotLatency()
	add(4, "Latency of the kernel's balancer: cumulative share of the calls", figure.Width, figure.Height, p, drawn)
	for i := range r.Workloads {
		w := &r.Workloads[i]
		p, drawn = r.plotDistribution(w, "maximum imbalance, tasks", "% of the samples", false, func(a *ArmResult) []uint64 { return a.Imbalance })
		add(5, w.Name+": maximum imbalance", smallWidth, smallHeight, p, drawn)
	}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		p, drawn = r.plotDistribution(w, "tasks on a CPU's queue", "% of CPUs and samples", true, func(a *ArmResult) []uint64 { return a.Lengths })
		add(6, w.Name+": runqueue length", smallWidth, smallHeight, p, drawn)
	}
	p, drawn = r.plotTimes()
	add(7, "Run times relative to the median of stock: medians with 95 % intervals, and each run", figure.Width, figure.Height, p, drawn)
	return all, err
}

// line joins points that are drawn too, while they read as points.
func line(p *plot.Plot, label string, i int, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	l, s, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	l.Color, s.Color = colour(i), colour(i)
	l.Width, l.Dashes = vg.Points(1.3), dashes(i)
	s.Radius, s.Shape = vg.Points(1.8), draw.CircleGlyph{}
	p.Add(l)
	if len(points) <= maxDots {
		p.Add(s)
	}
	p.Legend.Add(label, l)
	return nil
}

// maxDots is how many points still read as points.
const maxDots = 40
