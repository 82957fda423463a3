// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"mllb/internal/number"
	"mllb/mlp"
)

// Verdict is what the report comes to: the network in integers against the kernel's
// rule on all decisions, and against always migrating on each load.
type Verdict struct {
	Text   []string   `json:"text"` // a line each
	Rule   Difference `json:"against_cfs"`
	Always []OnLoad   `json:"against_always"`
}

// Difference is the network's figure less that of another judge.
type Difference struct {
	Of    string     `json:"of"` // the figure
	Value number.Num `json:"value"`
	Interval
	Runs int `json:"runs"`
}

// OnLoad is the difference on one load.
type OnLoad struct {
	Load string `json:"load"`
	Difference
}

// margin is how far apart two judges may be to be called as good as each other.
const margin = 0.01

// difference takes the balanced accuracy, or the accuracy where a label does not occur.
func (s sample) difference(judge int, balanced bool) Difference {
	d := Difference{Of: "accuracy", Runs: len(s)}
	figure := (*mlp.Confusion).Accuracy
	sum := s.sum()
	if balanced && number.Num(sum[judge].Balanced()).Known() {
		d.Of, figure = "balanced accuracy", (*mlp.Confusion).Balanced
	}
	of := func(t *tally) float64 { return figure(&t[judgeFixed]) - figure(&t[judge]) }
	d.Value, d.Interval = number.Num(of(&sum)), s.interval(of).within(-1, 1)
	return d
}

func newVerdict(runs sample, loads map[string]sample) Verdict {
	v := Verdict{Rule: runs.difference(judgeCFS, true)}
	for _, load := range slices.SortedFunc(maps.Keys(loads), natural) {
		v.Always = append(v.Always, OnLoad{load, loads[load].difference(judgeAlways, false)})
	}
	v.Text = []string{v.Rule.againstRule(), againstAlways(v.Always)}
	return v
}

// againstRule says how the network compares with the kernel's rule.
func (d *Difference) againstRule() string {
	const rule = "the kernel's rule"
	x := points(number.Num(math.Abs(float64(d.Value)))) + " of " + d.Of
	if !d.known() {
		if d.Runs == 1 {
			return fmt.Sprintf("%s %s by %s (one run, so no interval)", side(d.Value), rule, x)
		}
		return fmt.Sprintf("%s %s by %s (no interval: one run has all decisions of a label)", side(d.Value), rule, x)
	}
	span := fmt.Sprintf("(95 %%: %s..%s; %s)", signed(d.Lo), signed(d.Hi), counted(d.Runs, "run"))
	most := max(-d.Lo, d.Hi)
	switch {
	case most == 0:
		return fmt.Sprintf("as good as %s: the same %s in %s", rule, d.Of, counted(d.Runs, "run"))
	case most <= margin:
		return fmt.Sprintf("as good as %s within %s of %s: %s %s", rule, points(most), d.Of, signed(d.Value), span)
	case d.Lo <= 0 && d.Hi >= 0:
		return fmt.Sprintf("cannot be told apart from %s: %s points of %s %s", rule, signed(d.Value), d.Of, span)
	}
	return fmt.Sprintf("%s %s by %s %s", side(d.Value), rule, x, span)
}

func side(x number.Num) string {
	switch {
	case x > 0:
		return "better than"
	case x < 0:
		return "worse than"
	}
	return "equal to"
}

// againstAlways says on which loads the network is right more often than who always
// migrates.
func againstAlways(loads []OnLoad) string {
	const always = "always-migrate"
	var better, worse, open []string
	for i := range loads {
		l := &loads[i]
		switch {
		case l.Lo > 0:
			better = append(better, name(l.Load))
		case l.Hi < 0:
			worse = append(worse, name(l.Load))
		default:
			open = append(open, name(l.Load))
		}
	}
	if len(better) == len(loads) {
		return "above " + always + " in accuracy on every load"
	}
	var parts []string
	for _, p := range []struct {
		what  string
		loads []string
	}{{"below", worse}, {"above", better}, {"not told apart from", open}} {
		if len(p.loads) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s in accuracy on load %s", p.what, always, few(p.loads)))
		}
	}
	return strings.Join(parts, "; ")
}

// points is a share in percentage points, signed one with its sign.
func points(x number.Num) string { return (100 * x).Fixed(3) + " points" }

func signed(x number.Num) string {
	s := (100 * x).Fixed(3)
	if x > 0 && s != "0.000" {
		s = "+" + s
	}
	return s
}

func (r *Report) drawVerdict(w io.Writer) {
	head := "verdict"
	for _, text := range r.Verdict.Text {
		line := fmt.Sprintf("%-8s", head)
		for _, word := range strings.Fields(text) {
			if len([]rune(line+word)) > 98 {
				fmt.Fprintln(w, line)
				line = fmt.Sprintf("%-8s", "")
			}
			line += " " + word
		}
		fmt.Fprintln(w, line)
		head = ""
	}
}

// drawEssence is the one table that is always drawn: what the verdict is made of.
func (r *Report) drawEssence(w io.Writer) {
	total := Group{Name: "all", Rows: r.Data.Usable, Runs: r.Verdict.Rule.Runs}
	for i := range r.Scores {
		total.Judges = append(total.Judges, r.Scores[i].Answers)
		total.Intervals = append(total.Intervals, r.Scores[i].Interval)
	}
	fmt.Fprintf(w, "\n%-13s %4s %9s %8s  %-17s  %-33s %8s\n", "", "", "", "", "accuracy %", "balanced accuracy %", "stay %")
	fmt.Fprintf(w, "%-13s %4s %9s %8s %8s %9s %8s %16s %8s %8s\n", "load", "runs", "decisions", "stay", "network", "always", "network", "95 %", "rule", "found")
	for _, g := range append([]Group{total}, r.Groups[byLoad].Groups...) {
		net := &g.Judges[judgeFixed]
		fmt.Fprintf(w, "%s %4d %9s %8s %8s %9s %8s %16s %8s %8s\n", cell(g.Name, 13), g.Runs, number.Count(g.Rows), number.Count(net.Confusion.StayStay+net.Confusion.StayMigrate),
			net.Accuracy.Points(3), g.Judges[judgeAlways].Accuracy.Points(3), net.Balanced.Points(3), g.Intervals[judgeFixed], g.Judges[judgeCFS].Balanced.Points(3), net.Stay.Recall.Points(3))
	}
}
