// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"mllb/internal/figure"
	"mllb/internal/number"
)

func (r *Report) plotROC() (*figure.Plot, error) {
	if !r.Scores[judgeFixed].AUC.Known() {
		return nil, nil
	}
	p := figure.New("stay answered migrate, %", "migrate answered migrate, %")
	for j, s := range r.Scores {
		points := make(plotter.XYs, 0, len(s.ROC)+1)
		for _, x := range s.ROC {
			points = append(points, plotter.XY{X: 100 * x.FalseMigrate, Y: 100 * x.TrueMigrate})
		}
		if len(points) == 0 {
			points = append(points, plotter.XY{X: 100 * (1 - float64(s.Stay.Recall)), Y: 100 * float64(s.Migrate.Recall)})
		}
		if err := p.Line(s.Judge, kinds[j], points); err != nil {
			return nil, err
		}
	}
	figure.Percentages(&p.X)
	figure.Percentages(&p.Y)
	return p, nil
}

// plotCalibration has a row for each bin.
func (r *Report) plotCalibration() (*figure.Plot, error) {
	p := figure.New("migrate, %", "")
	var names []string
	var bins []Bin
	for _, b := range r.Scores[judgeFixed].Calibration {
		if b.Rows > 0 {
			names = append(names, fmt.Sprintf("%.4g to %.4g (%s)", 100*b.From, 100*b.To, number.Count(b.Rows)))
			bins = append(bins, b)
		}
	}
	var says, did []figure.Dot
	for i, b := range bins {
		lo, hi := wilson(float64(b.Migrated), b.Rows)
		says = append(says, figure.Dot{X: 100 * float64(b.Predicted), Lo: math.NaN(), Y: figure.Row(i, len(bins), -0.15)})
		did = append(did, figure.Dot{X: 100 * float64(b.Migrated), Lo: 100 * lo, Hi: 100 * hi, Y: figure.Row(i, len(bins), 0.15)})
	}
	if err := p.Dots("the network says", kinds[judge415], says); err != nil {
		return nil, err
	}
	if err := p.Dots("the kernel migrated", kinds[judgeFixed], did); err != nil {
		return nil, err
	}
	p.Rows(names, 1.6)
	figure.Percentages(&p.X)
	return p, nil
}

// wilson is the 95 % interval of a share of n (Wilson 1927).
func wilson(share float64, n int) (lo, hi float64) {
	const z = 1.96
	d := z * z / float64(n)
	mid := (share + d/2) / (1 + d)
	half := z / (1 + d) * math.Sqrt(share*(1-share)/float64(n)+d/4/float64(n))
	return max(mid-half, 0), min(mid+half, 1)
}

func (r *Report) plotWidths() (*figure.Plot, error) {
	p := figure.New("fractional bits", "%")
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
		if err := p.Line(f.label, kinds[f.judge], points); err != nil {
			return nil, err
		}
	}
	p.X.Tick.Marker = plot.TickerFunc(widthTicks)
	figure.Percentages(&p.Y)
	return p, nil
}

func widthTicks(float64, float64) (ticks []plot.Tick) {
	for b := minWidth; b <= maxWidth; b += 2 {
		ticks = append(ticks, plot.Tick{Value: float64(b), Label: fmt.Sprint(b)}, plot.Tick{Value: float64(b + 1)})
	}
	return ticks[:len(ticks)-1]
}

func (r *Report) plotGaps() (*figure.Plot, error) {
	p := figure.New("fractional bits", "logit difference")
	var points plotter.XYs
	for _, w := range r.Widths {
		if w.LargestError > 0 { // a logarithm has no 0, and NaN is none
			points = append(points, plotter.XY{X: float64(w.Bits), Y: float64(w.LargestError)})
		}
	}
	if len(points) < 2 {
		return nil, nil
	}
	if err := p.Line("largest", kinds[judgeFixed], points); err != nil {
		return nil, err
	}
	p.X.Tick.Marker = plot.TickerFunc(widthTicks)
	figure.Log(&p.Y, p.Y.Min)
	return p, nil
}

// plotLoads has a row for each load.
func (r *Report) plotLoads() (*figure.Plot, error) {
	groups := slices.DeleteFunc(slices.Clone(r.Groups[byLoad].Groups), func(g Group) bool { return !g.Judges[judgeFixed].Balanced.Known() })
	if len(groups) == 0 {
		return nil, nil
	}
	p := figure.New("balanced accuracy, %", "")
	drawn := []int{judgeFixed, judgeAlways, judge415, judgeCFS}
	names := make([]string, len(groups))
	for k, j := range drawn {
		var dots []figure.Dot
		for i, g := range groups {
			names[i] = "load " + figure.Cut(name(g.Name), 14)
			at := figure.Row(i, len(groups), 0.75*((float64(k)+0.5)/float64(len(drawn))-0.5))
			dots = append(dots, figure.Dot{X: 100 * float64(g.Judges[j].Balanced), Lo: 100 * float64(g.Intervals[j].Lo), Hi: 100 * float64(g.Intervals[j].Hi), Y: at})
		}
		if err := p.Dots(judges[j], kinds[j], dots); err != nil {
			return nil, err
		}
	}
	p.Rows(names, 3.2)
	figure.Percentages(&p.X)
	return p, nil
}

// plotImportance has a row for each feature, the most important at the top.
func (r *Report) plotImportance() (*figure.Plot, error) {
	if r.Importance == nil {
		return nil, nil
	}
	p := figure.New("loss rises by, nats", "")
	ranked := r.Importance.ranked()
	names := make([]string, len(ranked))
	var dots []figure.Dot
	least := math.Inf(1)
	for i, f := range ranked {
		names[i] = f.Name
		mean, sd := float64(f.Loss.Mean), float64(f.Loss.SD)
		dots = append(dots, figure.Dot{X: mean, Lo: mean - sd, Hi: mean + sd, Y: figure.Row(i, len(ranked), 0)})
		if mean > 0 {
			least = min(least, mean)
		}
	}
	if err := p.Dots("fixed", kinds[judgeFixed], dots); err != nil {
		return nil, err
	}
	p.Rows(names, 1.2)
	if p.X.Max > 0 && !math.IsInf(least, 1) {
		figure.Log(&p.X, least)
	}
	return p, nil
}
