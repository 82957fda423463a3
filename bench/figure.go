// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"html/template"
	"image/color"

	"gonum.org/v1/plot/vg/draw"

	"mllb/internal/figure"
)

// picture is a figure of the page. Number is that of the paper's figure.
type picture struct {
	Number int
	Title  string
	SVG    template.HTML
}

// palette tells arms apart; stock is black. Beyond it lines are dashed, and dots square.
var palette = []color.RGBA{
	figure.Black, figure.Blue, figure.Orange, figure.Green,
	figure.Purple, figure.SkyBlue, figure.Vermilion, figure.Grey,
}

func kind(i int) figure.Kind {
	k := figure.Kind{Color: palette[i%len(palette)]}
	if i >= len(palette) {
		k.Shape, k.Dash = draw.BoxGlyph{}, true
	}
	return k
}

// pictures draws what the report has data for.
func (r *Report) pictures() (all []picture, err error) {
	add := func(number int, title string, p *figure.Plot, drawn error) {
		if err != nil || p == nil && drawn == nil {
			return
		}
		if err = drawn; err == nil {
			var text template.HTML
			if text, err = figure.SVG(p); err == nil {
				all = append(all, picture{number, title, text})
				return
			}
		}
		err = fmt.Errorf("figure %q: %w", title, err)
	}
	p, drawn := r.plotLatency()
	add(4, "Latency of the kernel's balancer: cumulative share of the calls", p, drawn)
	for i := range r.Workloads {
		w := &r.Workloads[i]
		p, drawn = r.plotDistribution(w, "maximum imbalance, tasks", "% of the samples", false, func(a *ArmResult) []uint64 { return a.Imbalance })
		add(5, w.Name+": maximum imbalance", p, drawn)
	}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		p, drawn = r.plotDistribution(w, "tasks on a CPU's queue", "% of CPUs and samples", true, func(a *ArmResult) []uint64 { return a.Lengths })
		add(6, w.Name+": runqueue length", p, drawn)
	}
	p, drawn = r.plotTimes()
	add(7, "Run times relative to the median of stock: medians with 95 % intervals, and each run", p, drawn)
	return all, err
}

// maxDots is how many bins of a histogram still read as points.
const maxDots = 40
