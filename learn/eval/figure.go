// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"html/template"

	"gonum.org/v1/plot/vg/draw"

	"mllb/internal/figure"
)

// picture is a figure of the report.
type picture struct {
	Title string
	SVG   template.HTML
}

// kinds tells judges apart.
var kinds = [numJudges]figure.Kind{
	judgeFloat:   {Color: figure.SkyBlue, Shape: draw.SquareGlyph{}},
	judgeFixed:   {Color: figure.Blue},
	judgeAlways:  {Color: figure.Grey},
	judge415:     {Color: figure.Orange, Shape: draw.PyramidGlyph{}},
	judgeCFS:     {Color: figure.Green, Shape: draw.BoxGlyph{}},
	judgeGuarded: {Color: figure.Purple, Shape: draw.RingGlyph{}},
}

// pictures draws what the report has.
func (r *Report) pictures() ([]picture, error) {
	var all []picture
	for _, f := range []struct {
		title string
		draw  func() (*figure.Plot, error)
	}{
		{"Balanced accuracy by load, with 95 % intervals over runs", r.plotLoads},
		{"ROC: decisions to migrate that are found, against decisions to stay that are missed", r.plotROC},
		{"Calibration of the network in integers: what it says, and what the kernel did, by what it says (number of decisions); with 95 % intervals as if decisions were drawn one by one", r.plotCalibration},
		{"Fractional bits of the integers: the answers", r.plotWidths},
		{"Fractional bits of the integers: the largest difference from the logit in floating point", r.plotGaps},
		{"Permutation importance: means ± standard deviations", r.plotImportance},
	} {
		p, err := f.draw()
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", f.title, err)
		}
		if p == nil {
			continue
		}
		svg, err := figure.SVG(p)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", f.title, err)
		}
		all = append(all, picture{f.title, svg})
	}
	return all, nil
}
