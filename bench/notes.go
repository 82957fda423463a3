// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"

	"mllb/internal/number"
)

// labNotes say what a guest of the lab can measure.
func labNotes(getenv func(string) string) []string {
	cpus := getenv("MLLB_LAB_CPUS")
	switch {
	case getenv("MLLB_LAB") == "":
		return nil
	case cpus == "":
		return []string{"this is a guest of the lab: counts are valid, times are not"}
	}
	return []string{"this is a guest of the lab, " + cpus + ": counts are valid; times are not, but for ratios that come from how its CPUs share the host's"}
}

// notes are what the reader must know of the runs.
func (r *Report) notes(records []Record) (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if few := r.Config.tooFew(); few != "" {
		notes = append(notes, few)
	}
	if due := len(r.Config.Arms) * len(r.Workloads) * r.Config.Runs; r.Runs+r.Failed < due {
		note("runs missing, for not being made yet or given up: %d of %d", due-r.Runs-r.Failed, due)
	}
	if r.Failed > 0 {
		note("%s failed, left out", number.Of(r.Failed, "run"))
	}
	notes = append(notes, r.steadyNotes(records)...)
	notes = append(notes, sampleNotes(slices.DeleteFunc(slices.Clone(records), func(rec Record) bool { return !rec.fills() }))...)
	for i := range r.Workloads {
		w := &r.Workloads[i]
		notes = append(notes, w.shapeNotes()...)
		for _, a := range w.Arms {
			if a.Steal > 0.01 {
				note("%s under %s: the hypervisor stole %s of a CPU's time", w.Name, a.Arm, percent(a.Steal))
			}
		}
	}
	return notes
}

// tooFew says that so few runs cannot show anything, whatever they are like.
func (c *Config) tooFew() string {
	comparisons := c.comparisons()
	if n := runsNeeded(alpha / float64(max(1, comparisons))); c.Runs < n {
		return fmt.Sprintf("too few runs to show anything: %d of each, and %s at least %d", c.Runs, need(comparisons), n)
	}
	return ""
}

// comparisons is how many times an arm is held against stock.
func (c *Config) comparisons() int { return (len(c.Arms) - 1) * len(c.Workloads) }

func need(comparisons int) string {
	if comparisons == 1 {
		return "1 comparison needs"
	}
	return number.Of(comparisons, "comparison") + " need"
}

// sampleNotes say what of the runs was not measured, or was in the way.
func sampleNotes(records []Record) (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	orphans, unsampled, lost := 0, 0, 0
	missing := make(map[string]int)
	for i := range records {
		orphans += min(1, records[i].Orphan)
		s := records[i].Sample
		if s == nil {
			unsampled++
			continue
		}
		if s.Lost > 0 {
			lost++
		}
		for _, m := range s.Missing {
			missing[m]++
		}
	}
	if orphans > 0 {
		note("%s left processes behind, which were killed", number.Of(orphans, "run"))
	}
	if unsampled > 0 {
		note("not sampled: %s", number.Of(unsampled, "run"))
	}
	if lost > 0 {
		note("in %s some threads or events were not counted", number.Of(lost, "run"))
	}
	for _, m := range sortedKeys(missing) {
		note("not measured in %s: %s", number.Of(missing[m], "run"), m)
	}
	return notes
}
