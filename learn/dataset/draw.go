// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"mllb/features"
	"mllb/internal/number"
)

// Draw writes the summary for a person, within 100 columns but for names.
func (s *Summary) Draw(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s rows, %s usable: %s migrate, %s stay (%s)\n", number.Count(s.Total.Rows), number.Count(s.Total.Usable),
		number.Count(s.Total.Migrate), number.Count(s.Total.Stay), number.Share(s.Total.Stay, s.Total.Usable).Percent(2))
	more := ""
	if !s.Exact {
		more = " at least"
	}
	fmt.Fprintf(b, "%s distinct vectors of %s%s; %s seen with both labels\n", number.Count(s.Distinct), s.Set, more, number.Count(s.Both))
	s.drawRuns(b)
	for _, g := range []struct {
		title  string
		labels []Labels
	}{
		{"kernel", s.ByKernel}, {"load", s.ByLoad}, {"tag", s.ByTag}, {"run", s.ByRun}, {"domain", s.ByDomain},
	} {
		drawLabels(b, g.title, g.labels)
	}
	fmt.Fprintf(b, "\n%-26s %11s\n", "condition", "rows")
	for _, l := range s.Conditions {
		fmt.Fprintf(b, "  %-24s %11s\n", l.Name, number.Count(l.Rows))
	}
	s.drawFeatures(b)
	s.drawColumns(b)
	return b.Flush()
}

func (s *Summary) drawRuns(b *bufio.Writer) {
	var c Counters
	short := 0
	for i := range s.Runs {
		r := &s.Runs[i]
		c.Calls += r.Counters.Calls
		c.Records += r.Counters.Records
		c.Filtered += r.Counters.Filtered
		c.Drops += r.Counters.Drops
		if r.CutShort {
			short++
		}
	}
	b.WriteString(number.Of(len(s.Runs), "run"))
	if short > 0 {
		fmt.Fprintf(b, ", %d cut short", short)
	}
	fmt.Fprintf(b, ": %s calls = %s records + %s filtered + %s dropped\n", number.Count(c.Calls), number.Count(c.Records),
		number.Count(c.Filtered), number.Count(c.Drops))
	for _, line := range distinctLines(s.Runs) {
		fmt.Fprintf(b, "  %s\n", line)
	}
}

// distinctLines says of which hosts the runs are.
func distinctLines(runs []Run) []string {
	var lines []string
	for i := range runs {
		r := &runs[i]
		line := fmt.Sprintf("%s · %s · %s", r.Host, r.Kernel, r.Topology)
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func drawLabels(b *bufio.Writer, title string, labels []Labels) {
	if len(labels) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%-26s %11s %11s %11s %11s %8s\n", title, "rows", "usable", "migrate", "stay", "stay %")
	for _, l := range labels {
		name := l.Name
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(b, "  %-24s %11s %11s %11s %11s %8s\n", name, number.Count(l.Rows), number.Count(l.Usable), number.Count(l.Migrate), number.Count(l.Stay), number.Share(l.Stay, l.Usable).Points(2))
	}
}

func (s *Summary) drawFeatures(b *bufio.Writer) {
	fmt.Fprintf(b, "\n%-17s %8s %-16s %8s %-16s  %s\n", "feature by label", "stay", "", "migrate", "", "bars from .. to (lowest .. highest)")
	for _, f := range s.Features {
		fmt.Fprintf(b, "  %-15s", f.Name)
		for y := range f.Bins {
			if f.n[y] == 0 {
				fmt.Fprintf(b, " %8s %-16s", "-", "")
				continue
			}
			if f.Kind == features.Binary {
				fmt.Fprintf(b, " %8s %s", number.Num(f.Mean[y]).Percent(2), bar(f.Mean[y], bins))
				continue
			}
			fmt.Fprintf(b, " %8s %s", number.Num(f.Mean[y]), spark(f.Bins[y]))
		}
		if f.Kind != features.Binary {
			fmt.Fprintf(b, "  %s .. %s (%s .. %s)", number.Num(f.From), number.Num(f.To), number.Num(f.Low), number.Num(f.High))
		}
		fmt.Fprintln(b)
	}
}

func (s *Summary) drawColumns(b *bufio.Writer) {
	fmt.Fprintf(b, "\ncolumn                     range, or the most frequent values\n")
	for i := range s.Columns {
		c := &s.Columns[i]
		what := strings.Join(c.frequent(4), "  ")
		if c.Min != nil {
			what = fmt.Sprintf("%d .. %d", *c.Min, *c.Max)
		}
		fmt.Fprintf(b, "  %-24s %s\n", c.Name, what)
	}
}

// frequent returns the n most frequent values and how often each.
func (k *Column) frequent(n int) []string {
	names := make([]string, 0, len(k.Values))
	for name := range k.Values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if k.Values[a] != k.Values[b] {
			return int(max(-1, min(1, k.Values[b]-k.Values[a])))
		}
		return strings.Compare(a, b)
	})
	others := k.Others
	for _, name := range names[min(n, len(names)):] {
		others += k.Values[name]
	}
	out := names[:min(n, len(names))]
	for i, name := range out {
		if name == "" {
			name = "-"
		}
		out[i] = fmt.Sprintf("%s %s", name, number.Count(k.Values[out[i]]))
	}
	if others > 0 {
		out = append(out, fmt.Sprintf("others %s", number.Count(others)))
	}
	return out
}

var sparks = []rune(" ▁▂▃▄▅▆▇█")

// spark draws counts as bars, the highest full; what is not 0 is seen.
func spark(counts []int64) string {
	most := slices.Max(counts)
	out := make([]rune, len(counts))
	for i, n := range counts {
		out[i] = sparks[0]
		if n > 0 {
			out[i] = sparks[1+(n*7)/most]
		}
	}
	return string(out)
}

// bar draws a share of 1 in width cells.
func bar(share float64, width int) string {
	full := int(share*float64(width) + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}
