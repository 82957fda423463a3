// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"

	"mllb/internal/number"
)

// sentence is the report in one: which arms are faster or slower than stock, and for
// the others how small a difference could have been found.
func (r *Report) sentence() string {
	switch {
	case r.Runs == 0 && r.Failed > 0:
		return fmt.Sprintf("Nothing can be said: %s failed.", all(r.Failed, "run"))
	case r.Runs == 0:
		return "Nothing can be said: there are no runs."
	}
	var said, equal, few, idle []string
	var found []*Comparison // none of a difference
	for j, arm := range r.Config.Arms[1:] {
		of := r.against(1 + j)
		name := cut(arm.Name, nameWidth)
		switch {
		case of.compared == 0:
			few = append(few, name)
		case len(of.clauses) > 0:
			said = append(said, name+" "+strings.Join(of.clauses, " and "))
		case of.idle == of.compared:
			idle = append(idle, name)
		default:
			equal = append(equal, name)
			found = append(found, of.equal...)
		}
	}
	if len(said)+len(equal)+len(idle) == 0 {
		comparisons := r.Config.comparisons()
		return fmt.Sprintf("Nothing can be said: there are too few runs, and %s at least %d of each.", need(comparisons), runsNeeded(alpha/float64(max(1, comparisons))))
	}
	if len(equal) > 0 {
		said = append(said, "no difference from stock was found for "+list(equal, "and")+couldHave(found))
	}
	if len(idle) > 0 {
		said = append(said, list(idle, "and")+" changed nothing")
	}
	if len(few) > 0 {
		said = append(said, "there are too few runs of "+list(few, "and"))
	}
	text := strings.Join(said, "; ") + "."
	if strings.HasPrefix(text, "no difference ") {
		text = "N" + text[1:]
	}
	return text
}

// stand is how an arm compares with stock over the workloads.
type stand struct {
	compared int // workloads of which there are enough runs
	idle     int // of these, where the arm was a no-op
	clauses  []string
	equal    []*Comparison
}

func (r *Report) against(arm int) (s stand) {
	var faster, slower, mean []string
	for i := range r.Workloads {
		w := &r.Workloads[i]
		a := &w.Arms[arm]
		c := a.Values[metrics[0].Name].Against
		if c == nil || c.Verdict == TooFew {
			continue
		}
		s.compared++
		if a.Effects.NoOp {
			s.idle++
		}
		by, of := Relative{c.Ratio, c.Lo, c.Hi}, ""
		humps := a.Humps != nil || w.Arms[0].Humps != nil
		if humps {
			by = a.Mean.Relative
			if c.Verdict != NoDifference {
				of = " in the mean of all runs"
			}
		}
		text := fmt.Sprintf("%s of its time%s (%s)", ratio(by.Ratio), of, interval(by.Lo, by.Hi, ratio))
		if len(r.Workloads) > 1 {
			text = cut(w.Name, nameWidth) + " " + text
		}
		switch {
		case c.Verdict == Less:
			faster = append(faster, text)
		case c.Verdict == More:
			slower = append(slower, text)
		case humps && (by.Hi < 1 || by.Lo > 1):
			mean = append(mean, text)
		default:
			s.equal = append(s.equal, c)
		}
	}
	for _, k := range []struct {
		is   string
		what []string
	}{{"is faster than stock", faster}, {"is slower than stock", slower}, {"does not differ from stock in a typical run, but in the mean of all runs", mean}} {
		if n := len(k.what); n > 0 {
			s.clauses = append(s.clauses, fmt.Sprintf("%s%s: %s%s", k.is, share(n, len(r.Workloads)), strings.Join(k.what[:min(n, mostNamed)], ", "), more(n)))
		}
	}
	return s
}

// share says in how many of the workloads, if there are several.
func share(n, of int) string {
	if of == 1 {
		return ""
	}
	return fmt.Sprintf(" in %d of %d workloads", n, of)
}

// couldHave says how small a difference could have been found.
func couldHave(found []*Comparison) string {
	var least []number.Num
	for _, c := range found {
		if c.Smallest.Known() {
			least = append(least, c.Smallest)
		}
	}
	if len(least) == 0 {
		return ""
	}
	low, high := percent(slices.Min(least)), percent(slices.Max(least))
	if low == high {
		return ", and none below " + low + " could have been"
	}
	return fmt.Sprintf(", and none below %s to %s, by workload, could have been", low, high)
}

// all is "all 3 runs" or "the only run".
func all(n int, thing string) string {
	if n == 1 {
		return "the only " + thing
	}
	return fmt.Sprintf("all %d %ss", n, thing)
}

// Failure says which workload has not succeeded once under an arm, if any: then nothing
// is known of that arm.
func (r *Report) Failure() error {
	if r.Runs == 0 && r.Failed > 0 {
		return fmt.Errorf("%s failed", all(r.Failed, "run"))
	}
	for _, w := range r.Workloads {
		for _, a := range w.Arms {
			if a.Runs == 0 && a.Failed > 0 {
				return fmt.Errorf("%s of %s under %s failed", all(a.Failed, "run"), printable(w.Name), a.Arm)
			}
		}
	}
	return nil
}
