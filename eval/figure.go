// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is a figure of the report.
type picture struct {
	Title string
	SVG   template.HTML
}

const (
	figureWidth  = 15 * vg.Centimeter
	figureHeight = 9 * vg.Centimeter
)

// palette tells judges apart, also for those who do not see red from green
// (Okabe and Ito 2008).
var palette = [numJudges]color.RGBA{
	judgeFloat:   {0x56, 0xb4, 0xe9, 0xff},
	judgeFixed:   {0x00, 0x72, 0xb2, 0xff},
	judgeAlways:  {0x99, 0x99, 0x99, 0xff},
	judge415:     {0xe6, 0x9f, 0x00, 0xff},
	judgeCFS:     {0x00, 0x9e, 0x73, 0xff},
	judgeGuarded: {0xcc, 0x79, 0xa7, 0xff},
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
		svg, err := svg(p)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", f.title, err)
		}
		all = append(all, picture{f.title, svg})
	}
	return all, nil
}

// svg returns the element alone: HTML wants no XML declaration.
func svg(p *plot.Plot) (template.HTML, error) {
	c := vgsvg.New(figureWidth, figureHeight)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	text := b.Bytes()
	if i := bytes.Index(text, []byte("<svg")); i > 0 {
		text = text[i:]
	}
	return template.HTML(text), nil
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: 10}
	for _, f := range []*font.Font{&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		*f = sans
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Add(plotter.NewGrid())
	return p
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
