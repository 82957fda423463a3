// SPDX-License-Identifier: Apache-2.0

package train

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mllb/figure"
)

// Figure writes loss.svg and loss.png into a directory, made if need be: the
// loss against the number of batches, as the paper's Figure 2, in training and
// on the validation rows, one line for each result.
func Figure(dir string, results []*Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p, err := lossPlot(results)
	if err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	const width, height = 16 * vg.Centimeter, 10 * vg.Centimeter
	if err := p.Save(width, height, filepath.Join(dir, "loss.svg")); err != nil {
		return fmt.Errorf("figure loss.svg: %w", err)
	}
	return savePNG(p, width, height, filepath.Join(dir, "loss.png"))
}

// savePNG is Save at 200 dots an inch, twice what gonum/plot draws.
func savePNG(p *plot.Plot, width, height vg.Length, path string) error {
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(200))
	p.Draw(draw.New(c))
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	_, err = vgimg.PngCanvas{Canvas: c}.WriteTo(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("figure %s: %w", path, err)
	}
	return nil
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
