// SPDX-License-Identifier: Apache-2.0

package eval

import (
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"

	"mllb/internal/figure"
	"mllb/internal/number"
)

//go:embed report.gohtml
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"n":     number.Count[int],
	"n64":   number.Count[int64],
	"name":  name,
	"layer": layers,
	"lines": func() any { return scoreLines },
	"cell":  func(line int, s Score) string { return scoreLines[line].cell(&s) },
	"title": func(line int) string { return scoreLines[line].title },
	"pct":   func(x float64) number.Num { return number.Num(x) },
	"edge":  func(x float64) string { return fmt.Sprintf("%.1f", 100*x) },
	"nats":  func(c Change) string { return spread(c, 1, 4) },
	"pts":   func(c Change) string { return spread(c, 100, 3) },
	"shade": shade,
	"style": func() template.CSS { return figure.Style },
	"share": number.Share[int],
}).Parse(page))

// HTML writes the report as one page that needs no other file.
func (r *Report) HTML(w io.Writer) error {
	pictures, err := r.pictures()
	if err != nil {
		return err
	}
	return pageTemplate.Execute(w, struct {
		*Report
		Pictures []picture
		Fixed    int
		Ranked   []Importance
	}{r, pictures, judgeFixed, r.Importance.ranked()})
}

// shade colours a cell from red at 50 % balanced accuracy, which a coin has, to
// green at 100; how light it is, the theme says.
func shade(f number.Num) template.HTMLAttr {
	if !f.Known() {
		return ""
	}
	good := min(max(2*float64(f)-1, 0), 1)
	return template.HTMLAttr(fmt.Sprintf(` class="shade" style="--hue: %.0f"`, 120*good*good))
}
