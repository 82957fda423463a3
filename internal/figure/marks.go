// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Kind is how a line or a set of dots is told from others.
type Kind struct {
	Color color.RGBA
	Shape draw.GlyphDrawer // nil: a circle
	Dash  bool
}

func (k *Kind) dot(radius float64) draw.GlyphStyle {
	s := draw.GlyphStyle{Color: k.Color, Radius: vg.Points(radius), Shape: k.Shape}
	if s.Shape == nil {
		s.Shape = draw.CircleGlyph{}
	}
	return s
}

func (k *Kind) line() draw.LineStyle {
	s := draw.LineStyle{Color: k.Color, Width: vg.Points(1.4)}
	if k.Dash {
		s.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
	}
	return s
}

// maxDots is how many points of a line still read as points.
const maxDots = 40

// Line joins points, and draws each where they are few. A single point is larger.
func (p *Plot) Line(label string, k Kind, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	l, s, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	l.LineStyle, s.GlyphStyle = k.line(), k.dot(2.2)
	if len(points) == 1 {
		s.GlyphStyle = k.dot(4)
		p.Add(s)
		p.Key(label, s)
		return nil
	}
	p.Add(l)
	if len(points) > maxDots {
		p.Key(label, l)
		return nil
	}
	p.Add(s)
	p.Key(label, l, s)
	return nil
}

// Dot is a value with its interval, NaN where there is none.
type Dot struct{ X, Lo, Hi, Y float64 }

// Dots draws values and their intervals along the x axis.
func (p *Plot) Dots(label string, k Kind, dots []Dot) error {
	var at plotter.XYs
	var spans struct {
		plotter.XYs
		plotter.XErrors
	}
	for _, d := range dots {
		at = append(at, plotter.XY{X: d.X, Y: d.Y})
		if !math.IsNaN(d.Lo) && !math.IsNaN(d.Hi) {
			spans.XYs = append(spans.XYs, at[len(at)-1])
			spans.XErrors = append(spans.XErrors, struct{ Low, High float64 }{d.X - d.Lo, d.Hi - d.X})
		}
	}
	if len(at) == 0 {
		return nil
	}
	if len(spans.XYs) > 0 {
		bars, err := plotter.NewXErrorBars(spans)
		if err != nil {
			return err
		}
		bars.LineStyle, bars.CapWidth = k.line(), vg.Points(5)
		p.Add(bars)
	}
	s, err := plotter.NewScatter(at)
	if err != nil {
		return err
	}
	s.GlyphStyle = k.dot(2.8)
	p.Add(s)
	p.Key(label, s)
	return nil
}

// Cloud draws many values, none of which matters by itself.
func (p *Plot) Cloud(k Kind, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	s, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	k.Color = faint(k.Color)
	s.GlyphStyle = k.dot(1.6)
	p.Add(s)
	return nil
}

// swatch is a colour in the key.
type swatch struct{ color.Color }

// Swatch shows a colour in the key.
func Swatch(c color.Color) plot.Thumbnailer { return swatch{c} }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.Color, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
}

// Cut is a name of so many characters at the most.
func Cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// trimmed is a number of an axis, to six digits.
func trimmed(x float64) string {
	if x != 0 && (math.Abs(x) < 1e-3 || math.Abs(x) >= 1e6) {
		s := strconv.FormatFloat(x, 'e', 0, 64)
		return strings.Replace(strings.Replace(s, "e-0", "e-", 1), "e+0", "e", 1)
	}
	return strconv.FormatFloat(math.Round(x*1e6)/1e6, 'f', -1, 64)
}
