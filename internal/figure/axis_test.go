// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

func labels(a *plot.Axis) (all []string) {
	for _, tick := range a.Tick.Marker.Ticks(a.Min, a.Max) {
		if tick.Label != "" {
			all = append(all, tick.Label)
		}
	}
	return all
}

func TestPercentages(t *testing.T) {
	for _, tc := range []struct {
		lo, hi float64
		want   string
	}{
		{94, 99.5, "[80 95 99 99.9]"},
		{95, 99.9, "[95 99 99.9]"},
		{50, 50, "[50 80]"},
		{0, 100, "[≤0.01 1 5 20 80 99 ≥99.99]"},
		{100, 100, "[99.9 ≥99.99]"},
		{0, 0, "[≤0.01 0.1]"},
		{99.99, 99.99, "[99.9 99.99]"},
	} {
		a := plot.New().X
		a.Min, a.Max = tc.lo, tc.hi
		Percentages(&a)
		if got := fmt.Sprint(labels(&a)); got != tc.want {
			t.Errorf("%g to %g: %s, want %s", tc.lo, tc.hi, got, tc.want)
		}
		for _, x := range []float64{tc.lo, tc.hi} {
			if at := a.Norm(x); !(at >= 0 && at <= 1) {
				t.Errorf("%g is at %g", x, at)
			}
		}
	}
	a := plot.New().X
	a.Min, a.Max = 0.1, 99.9
	Percentages(&a)
	if far, near := a.Norm(99.9)-a.Norm(99), a.Norm(1)-a.Norm(0.1); math.Abs(far-near) > 1e-9 || far < 0.1 {
		t.Errorf("99 and 99.9 are %g apart, 0.1 and 1 %g", far, near)
	}
}

// Labels of one axis differ.
func TestPlain(t *testing.T) {
	for span, want := range map[[2]float64]string{
		{0.99, 1.11}: "[1 1.05 1.1]", {0, 75}: "[0 25 50 75]", {-0.3, 0.3}: "[-0.25 0 0.25]", {0, 63000}: "[0 30000 60000]",
	} {
		a := New("", "").X
		a.Min, a.Max = span[0], span[1]
		if got := fmt.Sprint(labels(&a)); got != want {
			t.Errorf("%v: %s, want %s", span, got, want)
		}
	}
}

func TestLog(t *testing.T) {
	for _, tc := range []struct {
		lo, least, hi float64
		want          string
	}{
		{0.02, 0.02, 30, "[0.01 0.1 1 10 100]"},
		{1, 1, 1, "[0.1 1]"},
		{-1, 0.5, 3, "[≤0.1 1 10]"},
		{1e-12, 1e-12, 1, "[≤1e-8 1e-7 1e-6 1e-5 1e-4 0.001 0.01 0.1 1]"},
	} {
		a := plot.New().X
		a.Min, a.Max = tc.lo, tc.hi
		Log(&a, tc.least)
		if got := fmt.Sprint(labels(&a)); got != tc.want {
			t.Errorf("%g to %g: %s, want %s", tc.lo, tc.hi, got, tc.want)
		}
		if lo, hi := a.Norm(tc.lo), a.Norm(tc.hi); !(lo >= 0 && lo <= 1 && hi >= lo && hi <= 1+1e-9) {
			t.Errorf("%g to %g are at %g to %g", tc.lo, tc.hi, lo, hi)
		}
	}
	if !Spans(0.01, 0, 0.2) || Spans(1, 9) || Spans() {
		t.Error("what spans a decade")
	}
}

// The figure grows by what its key needs, and a file knows both themes.
func TestKey(t *testing.T) {
	p := New("x", "y")
	_, without := p.size()
	for i := range 12 {
		if err := p.Line(fmt.Sprintf("an arm of some length %d", i), Kind{Color: Blue}, plotter.XYs{{X: 1, Y: 1}, {X: 2, Y: 2}}); err != nil {
			t.Fatal(err)
		}
	}
	at, rows := p.place()
	if _, with := p.size(); rows < 3 || rows > 12 || with < without+vg.Length(rows)*keyRow {
		t.Errorf("%d rows, from %v to %v high", rows, without, with)
	}
	for i, k := range p.keys {
		if right := at[i].X + keyThumb + keyGap + p.Legend.TextStyle.Width(k.label); right > Width-2*margin {
			t.Errorf("%q ends at %v", k.label, right)
		}
	}
	text, err := File(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, new(struct{})); err != nil {
		t.Error(err)
	}
	if s := string(text); !strings.Contains(s, "prefers-color-scheme:dark") || !strings.HasPrefix(s, `<svg fill="currentColor"`) || strings.Contains(s, "#000000") {
		t.Errorf("%.300s", s)
	}
}
