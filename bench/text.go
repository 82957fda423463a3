// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"

	"mllb/internal/number"
)

// Draw writes the report for a person.
func (r *Report) Draw(w io.Writer) error {
	b := bufio.NewWriter(w)
	r.drawHead(b)
	r.drawWall(b)
	r.drawMeans(b)
	r.drawRuns(b)
	r.drawEffects(b)
	r.drawOthers(b)
	return b.Flush()
}

func (r *Report) drawHead(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", printable(r.Verdict))
	m := &r.Machine
	fmt.Fprintf(w, "%s: Linux %s, %s, %s\n", printable(m.Host), printable(m.Kernel), printable(m.CPU), m.Topology)
	fmt.Fprintf(w, "%s, %s, %s (%d of each requested, %d for warm-up); configuration %s, started %s\n",
		number.Of(len(r.Config.Workloads), "workload"), number.Of(len(r.Config.Arms), "arm"), number.Of(r.Runs, "valid run"), r.Config.Runs, r.Config.Warmup, r.Digest, r.Started.Format("2006-01-02 15:04"))
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note     %s\n", printable(n))
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped  %s: %s\n", printable(s.What), printable(s.Why))
	}
}

func (r *Report) drawWall(w io.Writer) {
	n := longest(&r.Config)
	fmt.Fprintf(w, "\n%-*s  %-*s %5s %10s %-17s %8s %-14s %7s  %s\n", n[0], "workload", n[1], "arm", "runs", "time, s", "95 %", "vs stock", "95 %", "p Holm", "verdict")
	for _, wl := range r.Workloads {
		for j := range wl.Arms {
			a := &wl.Arms[j]
			v := a.value(metrics[0].Name)
			line := fmt.Sprintf("%-*s  %-*s %5d %10s %-17s", n[0], first(j == 0, cut(wl.title(), nameWidth)), n[1], cut(a.Arm, nameWidth), a.Runs, v.Median, interval(v.Lo, v.Hi, number.Num.String))
			if c := v.Against; c != nil {
				line += fmt.Sprintf(" %8s %-14s %7s  %s", ratio(c.Ratio), interval(c.Lo, c.Hi, ratio), probability(c.Holm), a.verdict(metrics[0].Name))
			} else if j > 0 {
				line += "  " + a.verdict(metrics[0].Name)
			}
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			for _, why := range a.Reasons {
				fmt.Fprintf(w, "%*s  failed: %s\n", n[0]+n[1]+2, "", printable(why))
			}
		}
	}
}

// verdict says in words how the arm compares with stock.
func (a *ArmResult) verdict(metric string) string {
	c := a.Values[metric].Against
	if c == nil {
		return "no runs to compare"
	}
	words := string(c.Verdict)
	switch c.Verdict {
	case More, Less:
		words = a.direction(metric)
		if a.Effects.NoOp {
			words += ", but a no-op"
		}
	case NoDifference:
		if a.Effects.NoOp {
			words = "no-op"
		}
		if c.Smallest.Known() {
			words += fmt.Sprintf(" (differences below %s could not have been detected)", percent(c.Smallest))
		}
	case TooFew:
		if a.Effects.NoOp {
			words = "no-op; too few runs"
		}
	}
	return words
}

func (a *ArmResult) direction(metric string) string {
	more := a.Values[metric].Against.Verdict == More
	switch {
	case metric == metrics[0].Name && more:
		return "slower"
	case metric == metrics[0].Name:
		return "faster"
	case more:
		return "more"
	}
	return "less"
}

func (r *Report) drawMeans(w io.Writer) {
	fmt.Fprintf(w, "\ntime relative to stock, geometric mean over the workloads, 95 %% interval\n")
	n := longest(&r.Config)
	for _, g := range r.Means {
		fmt.Fprintf(w, "  %-*s %8s %-14s of %d\n", n[1], cut(g.Arm, nameWidth), ratio(g.Ratio), interval(g.Lo, g.Hi, ratio), g.Workloads)
	}
}

func (r *Report) drawEffects(w io.Writer) {
	fmt.Fprintf(w, "\neffects of each arm (medians of a run; CPU: of mllbd or of the companion)\n")
	n := longest(&r.Config)
	for _, wl := range r.Workloads {
		shown := false
		for _, a := range wl.Arms {
			if d := &a.Effects; d.Known {
				fmt.Fprintf(w, "  %-*s  %-*s %9s  %s\n", n[0], first(!shown, cut(wl.title(), nameWidth)), n[1], cut(a.Arm, nameWidth), percent(d.CPU), d.Text)
				shown = true
			}
		}
	}
}

// drawOthers shows the medians of the other metrics; a sign says that the
// difference from stock is significant.
func (r *Report) drawOthers(w io.Writer) {
	var shown []metric
	for _, m := range metrics[1:] {
		if r.has(m.Name) {
			shown = append(shown, m)
		}
	}
	if len(shown) == 0 {
		return
	}
	n := longest(&r.Config)
	fmt.Fprintf(w, "\n%-*s  %-*s", n[0], "medians", n[1], "arm")
	for _, m := range shown {
		fmt.Fprintf(w, " %13s", m.label())
	}
	fmt.Fprintln(w)
	for _, wl := range r.Workloads {
		for j, a := range wl.Arms {
			fmt.Fprintf(w, "%-*s  %-*s", n[0], first(j == 0, cut(wl.title(), nameWidth)), n[1], cut(a.Arm, nameWidth))
			for _, m := range shown {
				text, sign := "-", " "
				if v, ok := a.Values[m.Name]; ok {
					text, sign = v.Median.String(), v.sign()
				}
				fmt.Fprintf(w, " %12s%s", text, sign)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w, "+ more, - less than stock: p < 0.05, corrected (Holm) for all comparisons in a column")
}

func (m *metric) label() string {
	if m.Unit == "" {
		return m.Name
	}
	return m.Name + ", " + m.Unit
}

func (m *Measured) sign() string {
	switch {
	case m.Against == nil:
		return " "
	case m.Against.Verdict == More:
		return "+"
	case m.Against.Verdict == Less:
		return "-"
	}
	return " "
}

// has says whether any run measured it, and not always as 0.
func (r *Report) has(metric string) bool {
	for _, w := range r.Workloads {
		for _, a := range w.Arms {
			for _, v := range a.Values[metric].values {
				if v != 0 {
					return true
				}
			}
		}
	}
	return false
}

func first(is bool, name string) string {
	if is {
		return name
	}
	return ""
}

// printable is text from elsewhere, fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
