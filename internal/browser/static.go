// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// affine maps (x, y) to (a x + c y + e, b x + d y + f), as SVG has it.
type affine struct{ a, b, c, d, e, f float64 }

func (m affine) at(x, y float64) (float64, float64) { return m.a*x + m.c*y + m.e, m.b*x + m.d*y + m.f }

func (m affine) then(n affine) affine {
	e, f := m.at(n.e, n.f)
	return affine{m.a*n.a + m.c*n.b, m.b*n.a + m.d*n.b, m.a*n.c + m.c*n.d, m.b*n.c + m.d*n.d, e, f}
}

// Inside fails the test where text of a figure ends outside of its viewBox, by the
// measures of the font it asks for. It needs no browser.
func Inside(t *testing.T, name string, svg []byte) {
	t.Helper()
	texts := 0
	var box [4]float64
	stack := []affine{{a: 1, d: 1}}
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch e := token.(type) {
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.StartElement:
			attr := make(map[string]string)
			for _, a := range e.Attr {
				attr[a.Name.Local] = a.Value
			}
			stack = append(stack, stack[len(stack)-1].then(transform(t, attr["transform"])))
			switch e.Name.Local {
			case "svg":
				for i, s := range strings.Fields(attr["viewBox"]) {
					box[i] = parse(t, s)
				}
			case "text":
				var words string
				if err := d.DecodeElement(&words, &e); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if outside(t, box, stack[len(stack)-1], attr, words) {
					t.Errorf("%s: %q is not within the figure", name, words)
				}
				texts++
				stack = stack[:len(stack)-1] // DecodeElement took its end
			}
		}
	}
	if texts == 0 || box[2] == 0 {
		t.Errorf("%s: %d texts in a box of %v", name, texts, box)
	}
}

func outside(t *testing.T, box [4]float64, m affine, attr map[string]string, words string) bool {
	size := 0.0
	for _, s := range strings.Split(attr["style"], ";") {
		if px, ok := strings.CutPrefix(s, "font-size:"); ok {
			size = parse(t, strings.TrimSuffix(px, "px"))
		}
	}
	style := text.Style{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(size)}, Handler: plot.DefaultTextHandler}
	x, y := parse(t, attr["x"]), parse(t, attr["y"])
	for _, corner := range [][2]float64{{x, y}, {x + style.Width(words).Points(), y}, {x, y - 0.75*size}} {
		x, y := m.at(corner[0], corner[1])
		if x < box[0] || y < box[1] || x > box[0]+box[2] || y > box[1]+box[3] {
			return true
		}
	}
	return size == 0
}

// transform reads what gonum/plot writes.
func transform(t *testing.T, s string) affine {
	m := affine{a: 1, d: 1}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		op, rest, _ := strings.Cut(s, "(")
		args, after, _ := strings.Cut(rest, ")")
		s = after
		var v []float64
		for _, a := range strings.FieldsFunc(args, func(r rune) bool { return r == ',' || r == ' ' }) {
			v = append(v, parse(t, a))
		}
		switch fmt.Sprint(op, len(v)) {
		case "scale2":
			m = m.then(affine{a: v[0], d: v[1]})
		case "translate2":
			m = m.then(affine{a: 1, d: 1, e: v[0], f: v[1]})
		case "rotate1":
			sin, cos := math.Sincos(v[0] * math.Pi / 180)
			m = m.then(affine{a: cos, b: sin, c: -sin, d: cos})
		default:
			t.Fatalf("%s of %v is not known here", op, v)
		}
	}
	return m
}

func parse(t *testing.T, s string) float64 {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
