// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

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

// writeMatrix draws the hand-offs of all pairs, shorter ones darker.
func writeMatrix(w io.Writer, p *probe.Profile) error {
	grid := matrixGrid{p.Matrix(maxCells)}
	plotted := figure.New("CPU", "CPU")
	colours := moreland.ExtendedBlackBody().Palette(64)
	heat := plotter.NewHeatMap(grid, colours)
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
	plotted.Title.Text = fmt.Sprintf("a cache line from CPU to CPU: %s (dark) to %s", nanoseconds(heat.Min), nanoseconds(heat.Max))
	plotted.Title.TextStyle.Font = plotted.X.Label.TextStyle.Font
	svg, err := figure.SVG(plotted, figure.Width, figure.Width+vg.Centimeter)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, string(svg))
	return err
}

func nanoseconds(log float64) string {
	ns := math.Pow(10, log)
	if ns >= 1e6 {
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
	return fmt.Sprintf("%.0f ns", ns)
}
