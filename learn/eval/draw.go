// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"mllb/internal/number"
)

// Draw writes the report for a person, within 100 columns but for names: the verdict
// and one table, and the rest if full. What was asked for by itself is written anyway.
func (r *Report) Draw(w io.Writer, full bool) error {
	b := bufio.NewWriter(w)
	r.drawVerdict(b)
	r.drawHead(b)
	r.drawEssence(b)
	if full {
		r.drawScores(b)
		r.drawGroups(b)
		r.drawCalibration(b)
		r.drawWidths(b)
	}
	if r.Importance != nil {
		r.Importance.draw(b)
	}
	if r.Matrix != nil {
		r.Matrix.draw(b)
	}
	r.drawMistakes(b)
	return b.Flush()
}

func (r *Report) drawHead(w io.Writer) {
	m, d := &r.Model, &r.Data
	fmt.Fprintf(w, "model    %s: %s, %s, threshold %g\n", name(m.Name), m.Set, layers(m.Layers), m.Threshold)
	if m.Provenance.Source != "" {
		fmt.Fprintf(w, "         %s\n", name(m.Provenance.Source))
	}
	fmt.Fprintf(w, "data     %s: %s records, %s usable: %s migrate, %s stay (%s %%)\n", counted(len(d.Files), "file"), number.Count(d.Records),
		number.Count(d.Usable), number.Count(d.Migrate), number.Count(d.Stay), number.Share(d.Stay, d.Usable).Points(3))
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note     %s\n", note)
	}
}

// scoreLines are the lines of the first table.
var scoreLines = []struct {
	title string
	cell  func(s *Score) string
}{
	{"accuracy %", func(s *Score) string { return s.Accuracy.Points(3) }},
	{"balanced accuracy %", func(s *Score) string { return s.Balanced.Points(3) }},
	{"stay: recall %", func(s *Score) string { return s.Stay.Recall.Points(3) }},
	{"stay: precision %", func(s *Score) string { return s.Stay.Precision.Points(3) }},
	{"migrate: recall %", func(s *Score) string { return s.Migrate.Recall.Points(3) }},
	{"migrate: precision %", func(s *Score) string { return s.Migrate.Precision.Points(3) }},
	{"stay answered stay", func(s *Score) string { return number.Count(s.Confusion.StayStay) }},
	{"stay answered migrate", func(s *Score) string { return number.Count(s.Confusion.StayMigrate) }},
	{"migrate answered stay", func(s *Score) string { return number.Count(s.Confusion.MigrateStay) }},
	{"migrate answered migrate", func(s *Score) string { return number.Count(s.Confusion.MigrateMigrate) }},
	{"ROC AUC", func(s *Score) string { return s.AUC.String() }},
	{"loss", func(s *Score) string { return s.Loss.String() }},
	{"Brier score", func(s *Score) string { return s.Brier.String() }},
	{"calibration error", func(s *Score) string { return s.CalibrationError.String() }},
}

func (r *Report) drawScores(w io.Writer) {
	fmt.Fprintf(w, "\n%-26s", "")
	for i := range r.Scores {
		fmt.Fprintf(w, " %11s", r.Scores[i].Judge)
	}
	fmt.Fprintln(w)
	for _, line := range scoreLines {
		fmt.Fprintf(w, "%-26s", line.title)
		for i := range r.Scores {
			fmt.Fprintf(w, " %11s", line.cell(&r.Scores[i]))
		}
		fmt.Fprintln(w)
	}
	a := &r.Agreement
	fmt.Fprintf(w, "\nfixed answers as float does in %s of %s decisions (%s %%); their logits differ by %s at most, %s rms\n",
		number.Count(a.Same), number.Count(r.Data.Usable), a.Share.Points(3), a.Largest.String(), a.RMS.String())
}

func (r *Report) drawGroups(w io.Writer) {
	for i := range r.Groups {
		b := &r.Groups[i]
		fmt.Fprintf(w, "\n%-26s %9s %8s  %-16s  %-26s  %s\n", "", "", "", "accuracy %", "balanced accuracy %", "stay %")
		fmt.Fprintf(w, "%-26s %9s %8s %8s %8s %8s %8s %8s %8s\n", "by "+b.By, "decisions", "stay", "fixed", "always", "fixed", judges[judge415], "cfs", "recall")
		for j := range b.Groups {
			g := &b.Groups[j]
			fixed := &g.Judges[judgeFixed]
			fmt.Fprintf(w, "%s %9s %8s %8s %8s %8s %8s %8s %8s\n", label(g.Name), number.Count(g.Rows), number.Count(fixed.Confusion.StayStay+fixed.Confusion.StayMigrate),
				fixed.Accuracy.Points(3), g.Judges[judgeAlways].Accuracy.Points(3), fixed.Balanced.Points(3),
				g.Judges[judge415].Balanced.Points(3), g.Judges[judgeCFS].Balanced.Points(3), fixed.Stay.Recall.Points(3))
		}
	}
}

// label is a name as the first column.
func label(s string) string { return cell("  "+name(s), 26) }

// cell is a name of that width; a longer one has a line of its own.
func cell(s string, width int) string {
	s = name(s)
	if utf8.RuneCountInString(s) > width {
		s += "\n" + strings.Repeat(" ", width)
	}
	return fmt.Sprintf("%-*s", width, s)
}

func (r *Report) drawCalibration(w io.Writer) {
	fmt.Fprintf(w, "\n%-24s %11s %11s %11s\n", "fixed says \"migrate\" %", "decisions", "mean said", "migrated")
	for _, b := range r.Scores[judgeFixed].Calibration {
		if b.Rows > 0 {
			fmt.Fprintf(w, "  %5.1f to %5.1f %20s %11s %11s\n", 100*b.From, 100*b.To, number.Count(b.Rows), b.Predicted.Points(3), b.Migrated.Points(3))
		}
	}
}

func (r *Report) drawWidths(w io.Writer) {
	fmt.Fprintf(w, "\n%-17s %11s %11s %14s %12s %19s\n", "fractional bits", "accuracy %", "balanced %", "stay recall %", "as float %", "largest logit gap")
	for _, x := range r.Widths {
		note := ""
		if x.Bits == chosenBits {
			note = "  the one that runs"
		}
		if x.Problem != "" {
			note = "  " + x.Problem
		}
		fmt.Fprintf(w, "  %-15d %11s %11s %14s %12s %19s%s\n", x.Bits, x.Accuracy.Points(3), x.Balanced.Points(3), x.StayRecall.Points(3), x.Agree.Points(3), x.LargestError.String(), note)
	}
}

func (m *Importances) draw(w io.Writer) {
	fmt.Fprintf(w, "\n%-18s %19s %21s %21s %12s\n", "permuted feature", "loss rises by", "balanced acc. falls", "stay recall falls", "answers that")
	fmt.Fprintf(w, "%-18s %19s %21s %21s %12s\n", fmt.Sprintf("(mean ± sd of %d)", m.Repeats), "nats", "points", "points", "change %")
	for _, f := range m.ranked() {
		fmt.Fprintf(w, "  %-16s %19s %21s %21s %12s\n", f.Name, spread(f.Loss, 1, 4), spread(f.Balanced, 100, 3), spread(f.StayRecall, 100, 3), number.Num(f.Changed).Points(3))
	}
}

func spread(c Change, scale number.Num, digits int) string {
	if !c.Mean.Known() {
		return "-"
	}
	return (scale * c.Mean).Fixed(digits) + " ± " + (scale * c.SD).Fixed(digits)
}

func (m *Matrix) draw(w io.Writer) {
	fmt.Fprintf(w, "\nload matrix: balanced accuracy %% (guarded: with the rule of 6.12 outside the training ranges) in floating point, trained as %q\n%-20s", m.Recipe, "trained on \\ on load")
	for _, l := range m.Loads {
		fmt.Fprintf(w, " %19s", name(l.Load))
	}
	fmt.Fprintln(w)
	for _, row := range m.Rows {
		fmt.Fprintf(w, "  %-18s", name(row.Trained))
		for _, c := range row.Cells {
			fmt.Fprintf(w, " %19s", fmt.Sprintf("%s (%s)", c.Balanced.Points(3), c.Guarded.Points(3)))
		}
		if row.Problem != "" {
			fmt.Fprintf(w, "  %s", row.Problem)
		}
		fmt.Fprintln(w)
	}
	for _, l := range m.Loads {
		how := "rows drawn at random, because it is one run: near-identical rows flatter the diagonal"
		if l.Runs {
			how = "runs held out whole"
		}
		if l.Few() {
			how += "; fewer than 100 of a label: little is said"
		}
		fmt.Fprintf(w, "  load %s: learned from %s rows, judged on %s with %s stay; %s\n", name(l.Load), number.Count(l.Train), number.Count(l.Test), number.Count(l.Stay), how)
	}
}

func (r *Report) drawMistakes(w io.Writer) {
	for i, m := range r.Mistakes {
		fmt.Fprintf(w, "\n%d. %s row %d, load %s, tag %s: the kernel said %s, the network %s (%.4f %% migrate, loss %.3f); %s says %s, %s %s\n%s",
			i+1, m.File, m.Row, name(m.Load), name(m.Tag), m.Kernel, m.Network, 100*m.Probability, m.Loss, judges[judge415], m.Rule415, judges[judgeCFS], m.RuleCFS, m.Text)
		if len(m.Outside) > 0 {
			fmt.Fprintf(w, "  outside the training range: %s\n", strings.Join(m.Outside, " "))
		}
	}
}

// name is text from a file for a terminal: printable, and never empty.
func name(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func layers(n []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(n), "[]"), " ", "-")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
