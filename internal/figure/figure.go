// SPDX-License-Identifier: Apache-2.0

// Package figure makes the plots of reports: all of one look, as SVG inside of HTML or
// in a file. What is black takes the colour of the text around it, so that a figure is
// read on a light page and on a dark one.
package figure

import (
	"bytes"
	_ "embed" // the style sheet
	"fmt"
	"html"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a figure, its key not counted: as wide as the page of a phone, so that
// its text need not shrink there, and several are in a row elsewhere.
const (
	Width  = 10 * vg.Centimeter
	Height = 6.5 * vg.Centimeter
)

// Style is the style sheet of a page with figures and tables, for both themes.
//
//go:embed page.css
var Style template.CSS

// Colours that can be told apart, also by those who do not see red from green
// (Okabe and Ito 2008), and grey. Black is the colour of the text.
var (
	Black     = color.RGBA{0x00, 0x00, 0x00, 0xff}
	Blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Purple    = color.RGBA{0xcc, 0x79, 0xa7, 0xff}
	SkyBlue   = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	Vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	Grey      = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

// Plot is a plot whose key stands above it, where no data can be.
type Plot struct {
	*plot.Plot
	x, y   string // names of the axes, for which gonum/plot leaves too much room on scales that are not linear
	height vg.Length
	keys   []key
}

type key struct {
	label  string
	thumbs []plot.Thumbnailer
}

// New returns an empty plot with a grid and named axes.
func New(x, y string) *Plot {
	p := &Plot{Plot: plot.New(), x: x, y: y, height: Height}
	p.BackgroundColor, p.X.Tick.Marker, p.Y.Tick.Marker = nil, plain{}, plain{}
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: 9}
	for _, f := range []*font.Font{&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		*f = sans
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint(Grey), faint(Grey)
	p.Add(grid)
	return p
}

// Key adds an entry to the key.
func (p *Plot) Key(label string, thumbs ...plot.Thumbnailer) {
	p.keys = append(p.keys, key{label, thumbs})
}

// The measures of the key, and the room around everything.
const (
	keyRow   = 12
	keyThumb = 16
	keyGap   = 3
	margin   = 4
)

// place puts the entries of the key into rows, and returns their left edges.
func (p *Plot) place() (at []vg.Point, rows int) {
	x := vg.Length(0)
	for _, k := range p.keys {
		w := keyThumb + keyGap + p.Legend.TextStyle.Width(k.label)
		if x > 0 && x+w > Width-2*margin {
			x = 0
			rows++
		}
		at = append(at, vg.Point{X: x, Y: vg.Length(rows)})
		x += w + 3*keyGap
	}
	if len(at) > 0 {
		rows++
	}
	return at, rows
}

// draw draws the key and the plot below it.
func (p *Plot) draw(c draw.Canvas) {
	c = draw.Crop(c, margin, -2*margin, margin, -margin)
	at, rows := p.place()
	text := p.Legend.TextStyle
	for i, k := range p.keys {
		left, bottom := c.Min.X+at[i].X, c.Max.Y-keyRow*(at[i].Y+1)
		icon := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left, Y: bottom + 1}, Max: vg.Point{X: left + keyThumb, Y: bottom + keyRow - 3},
		}}
		for _, t := range k.thumbs {
			t.Thumbnail(&icon)
		}
		c.FillText(text, vg.Point{X: left + keyThumb + keyGap, Y: bottom + 2}, k.label)
	}
	c = p.name(draw.Crop(c, 0, 0, 0, -p.above(rows)))
	p.Plot.Draw(c)
}

// name writes the names of the axes, and returns the rest.
func (p *Plot) name(c draw.Canvas) draw.Canvas {
	style := p.Legend.TextStyle
	style.XAlign = draw.XCenter
	if p.y != "" {
		style := style
		style.Rotation, style.YAlign = math.Pi/2, draw.YTop
		c.FillText(style, vg.Point{X: c.Min.X, Y: c.Center().Y + keyRow}, p.y)
		c = draw.Crop(c, keyRow+keyGap, 0, 0, 0)
	}
	if p.x != "" {
		style.YAlign = draw.YBottom
		c.FillText(style, vg.Point{X: c.Center().X, Y: c.Min.Y}, p.x)
		c = draw.Crop(c, 0, 0, keyRow, 0)
	}
	return c
}

// above is what so many rows of the key take.
func (p *Plot) above(rows int) vg.Length {
	if rows == 0 {
		return 0
	}
	return vg.Length(rows)*keyRow + 2*keyGap
}

func (p *Plot) size() (width, height vg.Length) {
	_, rows := p.place()
	return Width, p.height + p.above(rows)
}

// SVG draws p for a page of HTML: the element alone, in the colour of the page's text.
func SVG(p *Plot) (template.HTML, error) {
	c := vgsvg.New(p.size())
	p.draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	text := b.String()
	text = text[max(strings.Index(text, "<svg"), 0):]
	text = strings.Replace(text, "<svg", `<svg fill="currentColor"`, 1)
	text = strings.ReplaceAll(text, "stroke:#000000", "stroke:currentColor")
	text = strings.ReplaceAll(text, "font-family:Liberation Sans;", "font-family:'Liberation Sans',Arial,sans-serif;")
	return template.HTML(p.fit(text)), nil
}

var element = regexp.MustCompile(`<text ([^>]*)>([^<]*)</text>`)

// fit has each text take the width for which there is room, whatever the font.
func (p *Plot) fit(svg string) string {
	return element.ReplaceAllStringFunc(svg, func(s string) string {
		m := element.FindStringSubmatch(s)
		width := p.Legend.TextStyle.Width(html.UnescapeString(m[2])).Points() // all text is of one style
		return fmt.Sprintf(`<text textLength="%.1f" lengthAdjust="spacingAndGlyphs" %s>%s</text>`, width, m[1], m[2])
	})
}

// File draws p for a file of its own, which knows both themes.
func File(p *Plot) ([]byte, error) {
	text, err := SVG(p)
	if err != nil {
		return nil, err
	}
	const style = `<style>:root{color-scheme:light dark;color:#1b1f24}@media(prefers-color-scheme:dark){:root{color:#d0d7de}}</style>`
	open, rest, _ := strings.Cut(string(text), ">")
	return []byte(open + ">" + style + rest), nil
}

// PNG draws p on white, at 320 dots an inch.
func PNG(p *Plot) vgimg.PngCanvas {
	width, height := p.size()
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(320), vgimg.UseBackgroundColor(color.White))
	p.draw(draw.New(c))
	return vgimg.PngCanvas{Canvas: c}
}

// faint is c with most of it gone. Colours are premultiplied.
func faint(c color.RGBA) color.RGBA {
	const alpha = 0x50
	less := func(x uint8) uint8 { return uint8(int(x) * alpha / 0xff) }
	return color.RGBA{less(c.R), less(c.G), less(c.B), alpha}
}
