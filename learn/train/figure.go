// SPDX-License-Identifier: Apache-2.0

package train

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mllb/internal/figure"
	"mllb/internal/namedfile"
)

// Figure writes loss.svg and loss.png into a directory, made if need be: the
// loss against the number of batches, as the paper's Figure 2, in training and
// on the validation rows, one line for each result. Files that are there are replaced if force.
func Figure(ctx context.Context, dir string, force bool, results []*Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p, err := lossPlot(results)
	if err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	const width, height = 16 * vg.Centimeter, 10 * vg.Centimeter
	svg, err := p.WriterTo(width, height, "svg")
	if err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	// PNG at 200 dots an inch, twice what gonum/plot draws.
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(200))
	p.Draw(draw.New(c))
	for i, name := range figures(dir) {
		from := []io.WriterTo{svg, vgimg.PngCanvas{Canvas: c}}[i]
		err := namedfile.WriteNew(ctx, name, force, func(w io.Writer) error {
			_, err := from.WriteTo(w)
			return err
		})
		if err != nil {
			return fmt.Errorf("figure: %w", err)
		}
	}
	return nil
}

// CheckFigure says, before the training, what is wrong with a directory for Figure,
// which it makes.
func CheckFigure(dir string, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, name := range figures(dir) {
		errs = append(errs, namedfile.CheckNew(name, force))
	}
	return errors.Join(errs...)
}

func figures(dir string) [2]string {
	return [2]string{filepath.Join(dir, "loss.svg"), filepath.Join(dir, "loss.png")}
}

func lossPlot(results []*Result) (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "batches", "cross-entropy"
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, r := range results {
		training, validation := curves(r)
		for _, c := range []struct {
			name   string
			points plotter.XYs
			colour color.NRGBA
		}{{"training", training, color.NRGBA(figure.Blue)}, {"validation", validation, color.NRGBA(figure.Vermilion)}} {
			if len(results) > 1 {
				c.colour.A = 110 // lines that lie on each other stay visible
			}
			line, err := plotter.NewLine(c.points)
			if err != nil {
				return nil, fmt.Errorf("%s, seed %d: %w", c.name, r.Seed, err)
			}
			line.Color, line.Width = c.colour, vg.Points(1.2)
			p.Add(line)
			if i == 0 {
				p.Legend.Add(c.name, line)
			}
		}
	}
	return p, nil
}

// curves returns the losses of a training by number of batches. Few rows are one
// step an epoch; a single one is drawn from the left edge on.
func curves(r *Result) (training, validation plotter.XYs) {
	for _, s := range r.History.Steps {
		training = append(training, plotter.XY{X: float64(s.Batch), Y: s.Loss})
	}
	for _, e := range r.History.Epochs {
		validation = append(validation, plotter.XY{X: float64(e.Number * r.History.Batches), Y: e.Validation.Loss})
	}
	return training, validation
}
