// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"

	"mllb/internal/figure"
	"mllb/topology/probe"
)

// maxCells is how many rows the matrix of a figure has at most.
const maxCells = 128

// matrixGrid is the matrix as gonum wants it: rows from below, hand-offs by their
// logarithm.
type matrixGrid struct{ *probe.Matrix }

func (g matrixGrid) Dims() (c, r int)   { return len(g.CPUs), len(g.CPUs) }
func (g matrixGrid) X(c int) float64    { return float64(c) }
func (g matrixGrid) Y(r int) float64    { return float64(r) }
func (g matrixGrid) Z(c, r int) float64 { return logOf(g.Handoff(len(g.CPUs)-1-r, c)) }

func logOf(ns float64) float64 {
	if ns <= 0 {
		return math.NaN()
	}
	return math.Log10(ns)
}

// writeMatrix draws how long a cache line takes from CPU to CPU, shorter ones darker.
func writeMatrix(w io.Writer, p *probe.Profile) error {
	grid := matrixGrid{p.Matrix(maxCells)}
	plotted := figure.New("CPU", "CPU")
	heat := plotter.NewHeatMap(grid, colours{})
	if !(heat.Max > heat.Min) { // all alike, or nothing known
		heat.Min, heat.Max = heat.Min-0.5, heat.Min+0.5
	}
	heat.NaN = figure.Grey
	plotted.Add(heat)
	n := len(grid.CPUs)
	var x, y []plot.Tick
	for i := 0; i < n; i += max(n/16, 1) {
		x = append(x, plot.Tick{Value: float64(i), Label: fmt.Sprint(grid.CPUs[i])})
		y = append(y, plot.Tick{Value: float64(n - 1 - i), Label: fmt.Sprint(grid.CPUs[i])})
	}
	plotted.X.Tick.Marker, plotted.Y.Tick.Marker = plot.ConstantTicks(x), plot.ConstantTicks(y)
	what := "a cache line in "
	for share := range 5 {
		at := float64(share) / 4
		colour := heat.Palette.Colors()[int(at*float64(shades-1))]
		plotted.Key(what+nanoseconds(heat.Min+at*(heat.Max-heat.Min)), figure.Swatch(colour))
		what = ""
	}
	plotted.Square()
	svg, err := figure.File(plotted)
	if err != nil {
		return err
	}
	_, err = w.Write(svg)
	return err
}

const shades = 64

// colours go from dark to light, without black, which is the colour of text, and white,
// which a light page has.
type colours struct{}

// Colors implements palette.Palette.
func (colours) Colors() []color.Color {
	return moreland.ExtendedBlackBody().Palette(shades + shades/4).Colors()[shades/8:][:shades]
}

func nanoseconds(log float64) string {
	ns := math.Pow(10, log)
	if ns >= 1e6 {
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
	return fmt.Sprintf("%.0f ns", ns)
}
