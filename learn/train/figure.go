// SPDX-License-Identifier: Apache-2.0

package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

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
	svg, err := figure.File(p)
	if err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	for i, name := range figures(dir) {
		from := []io.WriterTo{bytes.NewReader(svg), figure.PNG(p)}[i]
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

func lossPlot(results []*Result) (*figure.Plot, error) {
	p := figure.New("batches", "cross-entropy")
	var losses []float64
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
				p.Key(c.name, line)
			}
			for _, at := range c.points {
				losses = append(losses, at.Y)
			}
		}
	}
	p.X.Min = 0
	if figure.Spans(losses...) {
		figure.Log(&p.Y, slices.Min(losses))
	} else {
		p.Y.Min = 0
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
