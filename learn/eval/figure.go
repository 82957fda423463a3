// SPDX-License-Identifier: Apache-2.0

package eval

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

// picture is a figure of the report.
type picture struct {
	Title string
	SVG   template.HTML
}

// palette tells judges apart.
var palette = [numJudges]color.RGBA{
	judgeFloat:   figure.SkyBlue,
	judgeFixed:   figure.Blue,
	judgeAlways:  figure.Grey,
	judge415:     figure.Orange,
	judgeCFS:     figure.Green,
	judgeGuarded: figure.Purple,
}

// pictures draws what the report has.
func (r *Report) pictures() ([]picture, error) {
	var all []picture
	for _, f := range []struct {
		title string
		draw  func() (*plot.Plot, error)
	}{
		{"ROC: decisions to migrate that are found, against decisions to stay that are missed", r.plotROC},
		{"Calibration of the network in integers: what it says, and what the kernel did", r.plotCalibration},
		{"Fractional bits of the integers: the answers", r.plotWidths},
		{"Fractional bits of the integers: the largest difference from the logit in floating point", r.plotGaps},
		{"Balanced accuracy by load", r.plotLoads},
		{"Permutation importance", r.plotImportance},
	} {
		p, err := f.draw()
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", f.title, err)
		}
		if p == nil {
			continue
		}
		svg, err := figure.SVG(p, figure.Width, figure.Height)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", f.title, err)
		}
		all = append(all, picture{f.title, svg})
	}
	return all, nil
}

// line draws points and what joins them; a single point larger.
func line(p *plot.Plot, label string, c color.Color, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	l, s, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	l.Color, s.Color = c, c
	l.Width, s.Radius, s.Shape = vg.Points(1.5), vg.Points(2), draw.CircleGlyph{}
	if len(points) == 1 {
		s.Radius = vg.Points(4)
	}
	p.Add(l)
	p.Legend.Add(label, l, s)
	if len(points) <= maxDots {
		p.Add(s)
	}
	return nil
}

// maxDots is how many points still read as points.
const maxDots = 40
