// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"mllb/internal/figure"
	"mllb/internal/number"
)

// Comparing is several reports side by side. Each arm is held against the stock of
// its own report alone: times of two machines are never compared.
type Comparing struct {
	Schema  int       `json:"schema"`
	Reports []*Report `json:"reports"`
	Rows    []Across  `json:"rows"`
}

// Across is one workload (or "" for the geometric mean over those that all
// reports have) under one arm, with a cell a report.
type Across struct {
	Workload string `json:"workload"`
	Arm      string `json:"arm"`
	Cells    []Cell `json:"cells"`
}

// Cell is the arm's time relative to stock in one report.
type Cell struct {
	Runs int `json:"runs"` // 0: this report does not have it
	Relative
	Mean    Relative `json:"geometric_mean"` // of all runs, by that of stock's
	Verdict Verdict  `json:"verdict"`
	Words   string   `json:"words"`
}

// Compare puts reports side by side, in the order of the first report that has a
// workload or an arm.
func Compare(reports []*Report) *Comparing {
	c := &Comparing{Schema: Schema, Reports: reports}
	var workloads, arms []string
	for _, r := range reports {
		for _, w := range r.Workloads {
			workloads = appendNew(workloads, w.Name)
		}
		for _, a := range r.Config.Arms[1:] {
			arms = appendNew(arms, a.Name)
		}
	}
	shared := slices.DeleteFunc(slices.Clone(workloads), func(name string) bool {
		return slices.ContainsFunc(reports, func(r *Report) bool { return r.workload(name) == nil })
	})
	for _, a := range arms {
		for _, w := range workloads {
			row := Across{Workload: w, Arm: a}
			for _, r := range reports {
				row.Cells = append(row.Cells, r.cell(w, a))
			}
			c.Rows = append(c.Rows, row)
		}
		mean := Across{Arm: a}
		for _, r := range reports {
			mean.Cells = append(mean.Cells, r.meanCell(shared, a))
		}
		c.Rows = append(c.Rows, mean)
	}
	return c
}

func appendNew(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func (r *Report) workload(name string) *WorkloadResult {
	i := slices.IndexFunc(r.Workloads, func(w WorkloadResult) bool { return w.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Workloads[i]
}

func (w *WorkloadResult) arm(name string) *ArmResult {
	i := slices.IndexFunc(w.Arms, func(a ArmResult) bool { return a.Arm == name })
	if i < 0 {
		return nil
	}
	return &w.Arms[i]
}

func (r *Report) cell(workload, arm string) Cell {
	none := Cell{Relative: unrelated, Mean: unrelated}
	w := r.workload(workload)
	if w == nil {
		return none
	}
	a := w.arm(arm)
	if a == nil || a.Values[metrics[0].Name].Against == nil {
		return none
	}
	c := a.Values[metrics[0].Name].Against
	return Cell{a.Runs, Relative{c.Ratio, c.Lo, c.Hi}, a.Mean.Relative, c.Verdict, a.verdict(metrics[0].Name)}
}

// meanCell is over the workloads that all reports have, so that the cells of the
// row are of the same ones.
func (r *Report) meanCell(workloads []string, arm string) Cell {
	var pairs []pair
	for _, name := range workloads {
		w := r.workload(name)
		if a := w.arm(arm); a != nil {
			pairs = append(pairs, pair{w.Arms[0].Values[metrics[0].Name].values, a.Values[metrics[0].Name].values})
		}
	}
	g := geoMean(arm, pairs, typical, r.Config.Seed)
	return Cell{Runs: g.Workloads, Relative: g.Relative, Mean: geoMean(arm, pairs, average, r.Config.Seed).Relative, Words: fmt.Sprintf("geometric mean of %d", g.Workloads)}
}

// Name is what a report is called among others.
func (r *Report) Name() string { return filepath.Base(filepath.Clean(r.Dir)) }

// Title is the row's first column.
func (a *Across) Title() string {
	if a.Workload == "" {
		return "geometric mean"
	}
	return a.Workload
}

// Draw writes the table for a person.
func (c *Comparing) Draw(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, r := range c.Reports {
		fmt.Fprintf(b, "%s: %s\n", r.Name(), printable(r.Verdict))
	}
	fmt.Fprintln(b)
	for _, r := range c.Reports {
		m := &r.Machine
		fmt.Fprintf(b, "%s: %s, Linux %s, %s, %s; %s, mllb %s\n", r.Name(), printable(m.Host), printable(m.Kernel), printable(m.CPU), m.Topology, number.Of(r.Runs, "run"), printable(r.Version))
	}
	fmt.Fprintln(b, "\ntime relative to stock of the same report, 95 % interval; * significant (p < 0.05, corrected), n no-op")
	c.drawRows(b, func(cell *Cell) string {
		return ratio(cell.Ratio) + cell.mark() + " " + interval(cell.Lo, cell.Hi, ratio)
	})
	fmt.Fprintln(b, "\ngeometric mean of all runs relative to that of stock, 95 % interval")
	c.drawRows(b, func(cell *Cell) string {
		return ratio(cell.Mean.Ratio) + "  " + interval(cell.Mean.Lo, cell.Mean.Hi, ratio)
	})
	return b.Flush()
}

func (c *Comparing) drawRows(w io.Writer, text func(*Cell) string) {
	fmt.Fprintf(w, "%-16s %-16s", "arm", "workload")
	for _, r := range c.Reports {
		fmt.Fprintf(w, "  %-24s", cut(r.Name(), 24))
	}
	fmt.Fprintln(w)
	for i := range c.Rows {
		row := &c.Rows[i]
		line := fmt.Sprintf("%-16s %-16s", cut(row.Arm, 16), cut(row.Title(), 16))
		for j := range row.Cells {
			cell := "-"
			if row.Cells[j].Runs > 0 {
				cell = text(&row.Cells[j])
			}
			line += fmt.Sprintf("  %-24s", cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func (c *Cell) mark() string {
	switch {
	case c.Verdict == More || c.Verdict == Less:
		return "*"
	case strings.HasPrefix(c.Words, "no-op"):
		return "n"
	}
	return " "
}

// cut is text of so many columns at the most.
func cut(s string, n int) string {
	r := []rune(printable(s))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}

//go:embed compare.gohtml
var comparePage string

var compareTemplate = template.Must(template.New("compare").Funcs(template.FuncMap{
	"style": func() template.CSS { return figure.Style },
	"name":  printable, "ratio": ratio, "ratios": func(lo, hi number.Num) string { return interval(lo, hi, ratio) },
}).Parse(comparePage))

// HTML writes the table as a page that needs no other file.
func (c *Comparing) HTML(w io.Writer) error { return compareTemplate.Execute(w, c) }
