// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"mllb/internal/figure"
	"mllb/internal/number"
)

func (r *Report) plotROC() (*plot.Plot, error) {
	if !r.Scores[judgeFixed].AUC.Known() {
		return nil, nil
	}
	p := figure.New("stay answered migrate, %", "migrate answered migrate, %")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 100, 0, 100
	for j, s := range r.Scores {
		points := make(plotter.XYs, 0, len(s.ROC)+1)
		for _, x := range s.ROC {
			points = append(points, plotter.XY{X: 100 * x.FalseMigrate, Y: 100 * x.TrueMigrate})
		}
		if len(points) == 0 {
			points = append(points, plotter.XY{X: 100 * (1 - float64(s.Stay.Recall)), Y: 100 * float64(s.Migrate.Recall)})
		}
		if err := line(p, s.Judge, palette[j], points); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (r *Report) plotCalibration() (*plot.Plot, error) {
	p := figure.New("says migrate, %", "migrated, %")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 100, 0, 100
	if err := line(p, "ideal", palette[judgeAlways], plotter.XYs{{X: 0, Y: 0}, {X: 100, Y: 100}}); err != nil {
		return nil, err
	}
	var points plotter.XYs
	for _, b := range r.Scores[judgeFixed].Calibration {
		if b.Rows > 0 {
			points = append(points, plotter.XY{X: 100 * float64(b.Predicted), Y: 100 * float64(b.Migrated)})
		}
	}
	p.Legend.Left, p.Legend.Top = true, true
	return p, line(p, "fixed", palette[judgeFixed], points)
}

func (r *Report) plotWidths() (*plot.Plot, error) {
	p := figure.New("fractional bits", "%")
	p.X.Tick.Marker = plot.TickerFunc(widthTicks)
	for _, f := range []struct {
		label string
		judge int // whose colour
		of    func(Width) number.Num
	}{
		{"accuracy", judgeCFS, func(w Width) number.Num { return w.Accuracy }},
		{"balanced accuracy", judgeFixed, func(w Width) number.Num { return w.Balanced }},
		{"stay recall", judge415, func(w Width) number.Num { return w.StayRecall }},
		{"answers as float", judgeGuarded, func(w Width) number.Num { return w.Agree }},
	} {
		var points plotter.XYs
		for _, w := range r.Widths {
			if y := f.of(w); y.Known() {
				points = append(points, plotter.XY{X: float64(w.Bits), Y: 100 * float64(y)})
			}
		}
		if err := line(p, f.label, palette[f.judge], points); err != nil {
			return nil, err
		}
	}
	p.Y.Min -= 0.3 * (p.Y.Max - p.Y.Min) // room for the legend
	return p, nil
}

func widthTicks(float64, float64) (ticks []plot.Tick) {
	for b := minWidth; b <= maxWidth; b++ {
		ticks = append(ticks, plot.Tick{Value: float64(b), Label: fmt.Sprint(b)})
	}
	return ticks
}

func (r *Report) plotGaps() (*plot.Plot, error) {
	p := figure.New("fractional bits", "logit difference")
	p.X.Tick.Marker = plot.TickerFunc(widthTicks)
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	var points plotter.XYs
	for _, w := range r.Widths {
		if w.LargestError > 0 { // a logarithm has no 0, and NaN is none
			points = append(points, plotter.XY{X: float64(w.Bits), Y: float64(w.LargestError)})
		}
	}
	if len(points) < 2 {
		return nil, nil
	}
	p.Legend.Top = true
	return p, line(p, "largest", palette[judgeFixed], points)
}

func (r *Report) plotLoads() (*plot.Plot, error) {
	groups := slices.DeleteFunc(slices.Clone(r.Groups[byLoad].Groups), func(g Group) bool { return !g.Judges[judgeFixed].Balanced.Known() })
	if len(groups) == 0 {
		return nil, nil
	}
	p := figure.New("load", "balanced accuracy, %")
	names := make([]string, len(groups))
	drawn := []int{judgeFixed, judgeAlways, judge415, judgeCFS}
	for k, j := range drawn {
		values := make(plotter.Values, len(groups))
		for i, g := range groups {
			names[i] = name(g.Name)
			values[i] = 100 * float64(g.Judges[j].Balanced)
		}
		bars, err := plotter.NewBarChart(values, vg.Points(12))
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = palette[j], 0
		bars.Offset = vg.Points(12 * (float64(k) - float64(len(drawn)-1)/2))
		p.Add(bars)
		p.Legend.Add(judges[j], bars)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(groups))-0.4
	p.Y.Min, p.Y.Max = 0, 130 // room for the legend
	p.Y.Tick.Marker = plot.TickerFunc(func(float64, float64) (ticks []plot.Tick) {
		for y := 0; y <= 100; y += 25 {
			ticks = append(ticks, plot.Tick{Value: float64(y), Label: fmt.Sprint(y)})
		}
		return ticks
	})
	p.Legend.Top = true
	return p, nil
}

func (r *Report) plotImportance() (*plot.Plot, error) {
	if r.Importance == nil {
		return nil, nil
	}
	ranked := r.Importance.ranked()
	p := figure.New("loss rises by, nats", "")
	values, names := make(plotter.Values, len(ranked)), make([]string, len(ranked))
	for i, f := range ranked {
		k := len(ranked) - 1 - i // the most important on top
		values[k], names[k] = float64(f.Loss.Mean), f.Name
	}
	bars, err := plotter.NewBarChart(values, vg.Points(8))
	if err != nil {
		return nil, err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, palette[judgeFixed], 0
	p.Add(bars)
	p.NominalY(names...)
	return p, nil
}
