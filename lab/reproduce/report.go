// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"mllb/internal/number"
	"mllb/lab"
	"mllb/lab/record"
	"mllb/learn/eval"
	"mllb/learn/train"
)

//go:embed report.md.tmpl
var reportText string

// page is what the template reads.
type page struct {
	Scale    Scale
	Command  string
	Version  string
	Date     string
	Host     lab.Kernel
	Machine  string // of Main
	Figure   string // file beside the report; "": none
	Claims   []claim
	Paper    []*study // rows drawn at random
	Held     []*study // runs held out whole
	Main     *study   // the paper's procedure as near to its data as there is
	All      *study   // the same on all records
	Local    *study   // locality17
	Best     *eval.Report
	Later    *eval.Report
	Crossed  crossed
	Live     []record.Observed
	Sum      record.Observed
	Corpus   *corpus
	Steps    []took
	Given    bool     // the datasets were there
	Files    []string // then; or how many, if they are many
	Recorded []*Recording
}

// claim is what the reproduction is to show.
type claim struct {
	Text, Want, Got string
	Holds           string
}

// words are the template's functions.
var words = template.FuncMap{
	"pct": pct, "pm": plusMinus, "group": number.Count[int], "group64": number.Count[int64], "ugroup": number.Count[uint64],
	"agree": agree, "cross": cross, "balanced": balancedOf, "recalls": recallsOf, "release": release, "few": (*eval.MatrixLoad).Few, "joined": joined[string], "short": short,
	"code": func(s string) string { return "`" + s + "`" }, "minutes": minutes,
}

func (s *session) report(ctx context.Context) error {
	p := s.page()
	t, err := template.New("report").Funcs(words).Parse(reportText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return err
	}
	if p.Figure != "" {
		if err := writeFile(ctx, filepath.Join(filepath.Dir(s.cfg.Report), p.Figure), []byte(p.Main.Losses)); err != nil {
			return err
		}
	}
	return writeFile(ctx, s.cfg.Report, b.Bytes())
}

// maxFiles is how many a reader is told the names of.
const maxFiles = 5

func (s *session) page() *page {
	p := &page{Scale: s.cfg.Scale, Command: s.cfg.Command, Version: s.cfg.Version, Date: time.Now().UTC().Format(time.DateOnly),
		Host: s.host, Best: &s.judged.Held, Later: s.judged.Later, Crossed: s.crossed, Live: s.observed, Corpus: &s.corpus,
		Steps: s.times, Given: len(s.cfg.Data) > 0}
	if p.Files = s.cfg.Data; len(p.Files) > maxFiles {
		p.Files = []string{fmt.Sprintf("%d files", len(p.Files))}
	}
	for i := range s.cfg.Scale.Records {
		p.Recorded = append(p.Recorded, &s.cfg.Scale.Records[i])
	}
	for i := range s.studies {
		st := &s.studies[i]
		if st.Recipe.Holdout == train.ByRow {
			p.Paper = append(p.Paper, st)
		} else {
			p.Held = append(p.Held, st)
		}
	}
	p.Main, p.All, p.Local = p.Paper[0], p.Paper[len(p.Paper)-1], p.Held[len(p.Held)-1]
	if p.Machine = "see the records"; s.corpus.Groups[0].Kind == paperKind {
		p.Machine = joined(s.corpus.Groups[0].Shapes)
	}
	if p.Main.Losses != "" {
		p.Figure = strings.TrimSuffix(filepath.Base(s.cfg.Report), filepath.Ext(s.cfg.Report)) + "-loss.svg"
	}
	for _, o := range s.observed {
		p.Sum.StayStay += o.StayStay
		p.Sum.StayMigrate += o.StayMigrate
		p.Sum.MigrateStay += o.MigrateStay
		p.Sum.MigrateMigrate += o.MigrateMigrate
		p.Sum.OutOfDistribution += o.OutOfDistribution
		p.Sum.Lost += o.Lost
	}
	p.Claims = p.claims()
	return p
}

// claims holds the figures against what was to be shown.
func (p *page) claims() []claim {
	least := func(text string, want, got float64) claim {
		return claim{text, "at least " + pct(want), pct(got), verdict(got >= want, got)}
	}
	var v int64
	var usable int64
	for _, k := range p.Corpus.Verdict.Kernels {
		if strings.HasPrefix(k.Kernel, Series+".") {
			v, usable = v+k.Disagree, usable+k.Usable
		}
	}
	all := []claim{
		{"The replay of 6.12's rule gives the kernel's answer on all usable records", "0 differ", fmt.Sprintf("%d of %s differ", v, number.Count(usable)), verdict(v == 0, 0)},
		least("`locality17`, runs held out whole, mean of the folds: accuracy", 0.999, p.Local.figure("accuracy")),
		least("the same: balanced accuracy", 0.99, p.Local.figure("balanced")),
		least("the same: recall of \"stay\"", 0.98, p.Local.figure("stay")),
		least("the same: integers give the answer of floating point", 0.9995, p.Local.figure("agreement")),
	}
	alone := func(c eval.MatrixCell) number.Num { return c.Balanced }
	guarded := func(c eval.MatrixCell) number.Num { return c.Guarded }
	worst, cells := worstCell(&p.Crossed.Local, alone)
	all = append(all, least(fmt.Sprintf("`locality17`, trained on one load and judged on each, the network alone: balanced accuracy of the worst of %d cells with 100 decisions of both labels", cells), 0.98, worst))
	worst, _ = worstCell(&p.Crossed.Local, guarded)
	all = append(all, least("the same, as `mllbd` asks it: the rule of 6.12 decides outside the training ranges", 0.98, worst))
	n := p.Sum.Total()
	return append(all, claim{"Live decisions put to the model", fmt.Sprintf("%s of them, more than 99.000 %% agree", number.Count(p.Scale.Live)),
		fmt.Sprintf("%s, %s", number.Count(n), agree(p.Sum)), verdict(n >= p.Scale.Live && float64(p.Sum.StayStay+p.Sum.MigrateMigrate) > 0.99*float64(n), 0)})
}

func verdict(holds bool, x float64) string {
	switch {
	case math.IsNaN(x):
		return "cannot be told"
	case holds:
		return "holds"
	}
	return "**does not hold**"
}

// worstCell is the lowest figure off and on the diagonal, where there is enough
// to tell, and of how many.
func worstCell(m *eval.Matrix, figure func(eval.MatrixCell) number.Num) (worst float64, cells int) {
	worst = math.NaN()
	for _, row := range m.Rows {
		for i, c := range row.Cells {
			if x := float64(figure(c)); !m.Loads[i].Few() && !math.IsNaN(x) {
				cells++
				if !(worst <= x) {
					worst = x
				}
			}
		}
	}
	return worst, cells
}

// cross is the network of the highest load on the lowest one.
func cross(m eval.Matrix) string {
	row := m.Rows[max(len(m.Rows)-2, 0)] // the last is of all loads
	if row.Problem != "" {
		return row.Problem
	}
	return fmt.Sprintf("%s (trained on %s %%, judged on %s %%)", pct(row.Cells[0].Accuracy), row.Trained, m.Loads[0].Load)
}

func pct(x any) string {
	switch x := x.(type) {
	case number.Num:
		return x.Percent(3)
	case float64:
		return number.Num(x).Percent(3)
	}
	return fmt.Sprint(x)
}

// plusMinus is a figure of a study with its standard deviation over the folds.
func plusMinus(st *study, name string) string {
	x, ok := st.Figures[name]
	switch {
	case !ok:
		return "-"
	case name == "loss":
		return number.Num(x.Mean).String() + " ± " + number.Num(x.SD).String()
	case name == "agreement" || name == "majority":
		return pct(x.Mean)
	}
	return pct(x.Mean) + " ± " + number.Num(x.SD).Points(3)
}

func agree(o record.Observed) string {
	return pct(number.Share(o.StayStay+o.MigrateMigrate, o.Total()))
}

func balancedOf(o record.Observed) string {
	return pct((number.Share(o.StayStay, o.StayStay+o.StayMigrate) + number.Share(o.MigrateMigrate, o.MigrateStay+o.MigrateMigrate)) / 2)
}

// recallsOf are counts of both labels.
func recallsOf(o record.Observed) string {
	return fmt.Sprintf("%s of %s | %s of %s", number.Count(o.StayStay), number.Count(o.StayStay+o.StayMigrate),
		number.Count(o.MigrateMigrate), number.Count(o.MigrateStay+o.MigrateMigrate))
}

func joined[T any](list []T) string {
	var parts []string
	for _, x := range list {
		parts = append(parts, fmt.Sprint(x))
	}
	return strings.Join(parts, "; ")
}

func short(digest string) string {
	_, sum, ok := strings.Cut(digest, ":")
	if !ok {
		sum = digest
	}
	return sum[:min(16, len(sum))]
}

func minutes(seconds float64) string {
	return (time.Duration(seconds*float64(time.Second)) + 999*time.Millisecond).Truncate(time.Second).String()
}
