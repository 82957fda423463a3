// SPDX-License-Identifier: Apache-2.0

package bench

import "fmt"

// notes are what the reader must know of the runs.
func (r *Report) notes(records []Record) (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	comparisons := (len(r.Config.Arms) - 1) * len(r.Workloads)
	if n := runsNeeded(alpha / float64(max(1, comparisons))); r.Config.Runs < n {
		note("%d runs of each cannot show anything: with %d comparisons, %d are the least", r.Config.Runs, comparisons, n)
	}
	if due := len(r.Config.Arms) * len(r.Workloads) * r.Config.Runs; r.Runs+r.Failed < due {
		note("%d of %d runs are not made yet, or were given up", due-r.Runs-r.Failed, due)
	}
	if r.Failed > 0 {
		note("%d runs failed, and are left out", r.Failed)
	}
	notes = append(notes, sampleNotes(records)...)
	for _, w := range r.Workloads {
		for _, a := range w.Arms {
			if a.Steal > 0.01 {
				note("%s under %s: the hypervisor stole %s of a CPU's time", w.Name, a.Arm, percent(a.Steal))
			}
		}
	}
	return notes
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
		note("%d runs left processes behind, which were killed", orphans)
	}
	if unsampled > 0 {
		note("%d runs were not sampled", unsampled)
	}
	if lost > 0 {
		note("in %d runs some threads or events were not counted", lost)
	}
	for _, m := range sortedKeys(missing) {
		note("in %d runs not measured: %s", missing[m], m)
	}
	return notes
}
