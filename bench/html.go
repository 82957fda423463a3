// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	_ "embed" // the templates
	"html/template"
	"io"
	"path/filepath"

	"mllb/internal/figure"
	"mllb/internal/namedfile"
	"mllb/internal/number"
)

//go:embed report.gohtml
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"name":     printable,
	"lines":    printableLines,
	"ratio":    ratio,
	"percent":  percent,
	"p":        probability,
	"interval": func(lo, hi number.Num) string { return interval(lo, hi, number.Num.String) },
	"ratios":   func(lo, hi number.Num) string { return interval(lo, hi, ratio) },
	"verdict":  func(metric string, a *ArmResult) string { return a.verdict(metric) },
	"value":    func(metric string, a *ArmResult) Measured { return a.value(metric) },
	"label":    func(m metric) string { return m.label() },
	"sign":     func(m Measured) string { return m.sign() },
	"style":    func() template.CSS { return figure.Style },
	"title":    func(w Workload) string { return w.title() },
}).Parse(page))

// HTML writes the report as one page that needs no other file.
func (r *Report) HTML(w io.Writer) error {
	pictures, err := r.pictures()
	if err != nil {
		return err
	}
	var others []metric
	for _, m := range metrics[1:] {
		if r.has(m.Name) {
			others = append(others, m)
		}
	}
	tails := make(map[string]GeoMean)
	for _, g := range r.RunMeans {
		tails[g.Arm], _ = r.slowestMean(g.Arm)
	}
	return pageTemplate.Execute(w, struct {
		*Report
		Pictures []picture
		Wall     metric
		Others   []metric
		Levels   []string
		Tails    map[string]GeoMean
	}{r, pictures, metrics[0], others, r.levels(), tails})
}

// levels are the levels at which any arm saw migrations.
func (r *Report) levels() (names []string) {
	for l := range 4 {
		name := levelName(l)
		for _, w := range r.Workloads {
			for _, a := range w.Arms {
				if a.Levels[name] > 0 && (len(names) == 0 || names[len(names)-1] != name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// Write makes report.json, report.html and runs.parquet of a result directory.
func Write(dir string) (*Report, error) {
	r, err := Load(dir)
	if err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(dir, "report.json"), r); err != nil {
		return nil, err
	}
	if err := namedfile.WriteWith(context.Background(), filepath.Join(dir, "report.html"), r.HTML); err != nil {
		return nil, err
	}
	records, _, err := readRecords(filepath.Join(dir, runsFile))
	if err != nil {
		return nil, err
	}
	return r, writeParquet(filepath.Join(dir, "runs.parquet"), &r.Head, records)
}
