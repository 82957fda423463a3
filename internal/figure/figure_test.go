// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
)

// TestSVG: what is drawn is one well-formed element with its labels in it.
func TestSVG(t *testing.T) {
	p := New("threads & CPUs", "tasks")
	l, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 1}, {X: 2, Y: 3}})
	if err != nil {
		t.Fatal(err)
	}
	l.Color = Blue
	p.Add(l)
	html, err := SVG(p)
	if err != nil {
		t.Fatal(err)
	}
	text := string(html)
	if !strings.HasPrefix(text, "<svg") || strings.Count(text, "<svg") != 1 || !strings.Contains(text, "#0072B2") {
		t.Errorf("drawn: %.200s", text)
	}
	var words strings.Builder
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := tok.(xml.CharData); ok {
			words.Write(c)
		}
	}
	for _, label := range []string{"threads & CPUs", "tasks"} {
		if !strings.Contains(words.String(), label) {
			t.Errorf("%q is not in it", label)
		}
	}
}
