// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mllb/features"
)

// Draw writes the summary for a person, within 100 columns but for names.
func (s *Summary) Draw(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s rows, %s usable: %s migrate, %s stay (%s)\n", grouped(s.Total.Rows), grouped(s.Total.Usable),
		grouped(s.Total.Migrate), grouped(s.Total.Stay), share(s.Total.Stay, s.Total.Usable))
	more := ""
	if !s.Exact {
		more = " at least"
	}
	fmt.Fprintf(b, "%s distinct vectors of %s%s; %s seen with both labels\n", grouped(s.Distinct), s.Set, more, grouped(s.Both))
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
		fmt.Fprintf(b, "  %-24s %11s\n", l.Name, grouped(l.Rows))
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
	fmt.Fprintf(b, "%d runs", len(s.Runs))
	if short > 0 {
		fmt.Fprintf(b, ", %d cut short", short)
	}
	fmt.Fprintf(b, ": %s calls = %s records + %s filtered + %s dropped\n", grouped(int64(c.Calls)), grouped(int64(c.Records)),
		grouped(int64(c.Filtered)), grouped(int64(c.Drops)))
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
		fmt.Fprintf(b, "  %-24s %11s %11s %11s %11s %8s\n", name, grouped(l.Rows), grouped(l.Usable), grouped(l.Migrate), grouped(l.Stay), share(l.Stay, l.Usable))
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
				fmt.Fprintf(b, " %7.2f%% %s", 100*f.Mean[y], bar(f.Mean[y], bins))
				continue
			}
			fmt.Fprintf(b, " %8s %s", short(f.Mean[y]), spark(f.Bins[y]))
		}
		if f.Kind != features.Binary {
			fmt.Fprintf(b, "  %s .. %s (%s .. %s)", short(f.From), short(f.To), short(f.Low), short(f.High))
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
		out[i] = fmt.Sprintf("%s %s", name, grouped(k.Values[out[i]]))
	}
	if others > 0 {
		out = append(out, fmt.Sprintf("others %s", grouped(others)))
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

func share(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(n)/float64(of))
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

// grouped writes n with a comma every three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
