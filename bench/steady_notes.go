// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"

	"mllb/internal/number"
)

// steadyNotes say which runs a slow CPU disturbed.
func (r *Report) steadyNotes(records []Record) (notes []string) {
	if r.Config.Steady == 0 {
		return nil
	}
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	var again, kept []*Record
	for i := range records {
		switch rec := &records[i]; {
		case !rec.fills():
			again = append(again, rec)
		case rec.Kept:
			kept = append(kept, rec)
		}
	}
	if len(again) > 0 {
		note("%s made again, since a CPU was more than %d %% slower than before: %s", were(len(again), "run"), r.Config.Steady, byCPU(again))
	}
	slices.SortFunc(kept, func(a, b *Record) int { return strings.Compare(a.Slot.String(), b.Slot.String()) })
	if len(kept) > 0 {
		var which []string
		for _, rec := range kept[:min(len(kept), mostNamed)] {
			which = append(which, fmt.Sprintf("%s (%s)", rec.Slot, slowText(rec.Disturbed)))
		}
		note("disturbed by a slow CPU, but counted after being made again %d times: %s: %s%s",
			mostAgain, number.Of(len(kept), "run"), strings.Join(which, ", "), more(len(kept)))
	}
	if n := r.slowInHindsight(records); n > 0 {
		note("counted, but made before it was known how fast a CPU can be, and so maybe slow: %s", number.Of(n, "run"))
	}
	return notes
}

func were(n int, thing string) string {
	if n == 1 {
		return number.Of(n, thing) + " was"
	}
	return number.Of(n, thing) + " were"
}

// byCPU says how often each CPU was slow, and how slow.
func byCPU(records []*Record) string {
	runs, least := make(map[int]int), make(map[int]float64)
	for _, rec := range records {
		seen := make(map[int]bool)
		for _, s := range rec.Disturbed {
			if !seen[s.CPU] {
				seen[s.CPU] = true
				runs[s.CPU]++
			}
			if l, ok := least[s.CPU]; !ok || s.Share < l {
				least[s.CPU] = s.Share
			}
		}
	}
	var parts []string
	for _, cpu := range sortedKeys(runs) {
		parts = append(parts, fmt.Sprintf("CPU %d in %s (down to %.2f of its work)", cpu, number.Of(runs[cpu], "run"), least[cpu]))
	}
	return strings.Join(parts, ", ")
}

// slowInHindsight counts the runs that were judged before it was known how fast
// the CPUs can be: a benchmark may begin in a slow minute.
func (r *Report) slowInHindsight(records []Record) (n int) {
	w := watch{fastest: make(map[int][]float64)}
	for i := range records {
		w.recall(records[i].Steady)
	}
	for i := range records {
		rec := &records[i]
		if len(rec.Disturbed) == 0 && rec.Failed == "" && !rec.Warmup() && w.leastShare(rec.Steady) < leastShare(r.Config.Steady) {
			n++
		}
	}
	return n
}
