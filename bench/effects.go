// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"

	"mllb/internal/number"
	"mllb/internal/runreport"
	"mllb/topology"
)

// Effects are what an arm changed, so that one that changed nothing, a no-op, is
// not taken for one as good as stock. Numbers are medians of a run.
type Effects struct {
	Known    bool       `json:"known"`    // somebody could have changed something, and says what
	Changed  int        `json:"changed"`  // runs in which it changed something
	NoOp     bool       `json:"no_op"`    // Changed is 0: what is measured is stock, and the cost of looking
	Asked    number.Num `json:"asked"`    // decisions put to the policy
	Approved number.Num `json:"approved"` //
	Moved    number.Num `json:"moved"`
	Held     number.Num `json:"held_in_place"`
	CPU      number.Num `json:"cpu_share"` // of one CPU: mllbd's, or the companion's

	Moves map[string]number.Num `json:"moved_by_level,omitempty"`
	Text  string                `json:"text"`
}

func newEffects(arm *Arm, records []*Record) Effects {
	e := Effects{Asked: number.Unknown, Approved: number.Unknown, Moved: number.Unknown, Held: number.Unknown, CPU: number.Unknown}
	switch arm.Kind {
	case Daemon:
		e.daemon(arm, records)
	case Kernel:
		e.kernel(arm, records)
	case With:
		e.with(records)
	}
	e.NoOp = e.Known && e.Changed == 0
	if e.NoOp {
		e.Text = "no-op: " + e.Text
	}
	return e
}

func (e *Effects) daemon(arm *Arm, records []*Record) {
	var asked, approved, moved, held, cpu []float64
	var levels [topology.NumLevels][]float64
	for _, r := range records {
		if r.Daemon == nil {
			continue
		}
		if r.Daemon.Changed() {
			e.Changed++
		}
		asked = append(asked, float64(runreport.Total(r.Daemon.Asked)))
		approved = append(approved, float64(runreport.Total(r.Daemon.Approved)))
		moved = append(moved, float64(runreport.Total(r.Daemon.Moved)))
		held = append(held, float64(r.Daemon.HeldInPlace))
		cpu = appendShare(cpu, r.Daemon.CPUSeconds, r.Daemon.Seconds)
		for l := range levels {
			levels[l] = append(levels[l], float64(r.Daemon.Moved[levelName(l)]))
		}
	}
	e.Known = len(asked) > 0
	if !e.Known {
		return
	}
	e.Asked, e.Approved, e.Moved, e.Held, e.CPU = median(asked), median(approved), median(moved), median(held), median(cpu)
	e.Moves = make(map[string]number.Num)
	for l, values := range levels {
		if m := median(values); m > 0 {
			e.Moves[levelName(l)] = m
		}
	}
	e.Text = fmt.Sprintf("asked %s, approved %s, moved %s%s, held in place %s; changed something in %d of %d runs",
		e.Asked, e.Approved, e.Moved, byLevel(e.Moves), e.Held, e.Changed, len(asked))
	if slices.Max(asked) == 0 {
		e.Text += "; the policy was never asked"
	}
	if arm.Mode == "observe" {
		e.Text = fmt.Sprintf("observes only; asked %s, approved %s", e.Asked, e.Approved)
	}
}

func byLevel(moves map[string]number.Num) string {
	var parts []string
	for l := range topology.NumLevels {
		if n, ok := moves[l.String()]; ok {
			parts = append(parts, fmt.Sprintf("%s %s", l, n))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// kernel: a decision that replaces the rule's counts as a change, for the rule is
// not asked then.
func (e *Effects) kernel(arm *Arm, records []*Record) {
	var asked, approved []float64
	for _, r := range records {
		if r.Kernel == nil {
			continue
		}
		k := r.Kernel
		if arm.Mode == "replace" && k.asked() > 0 {
			e.Changed++
		}
		asked = append(asked, float64(k.asked()))
		approved = append(approved, float64(k.Both[0][1]+k.Both[1][1]+k.Alone[1]))
	}
	e.Known = len(asked) > 0
	e.Asked, e.Approved = median(asked), median(approved)
	e.Text = fmt.Sprintf("the kernel asked the network %s times and it answered migrate %s times; its answers took effect in %d of %d runs",
		e.Asked, e.Approved, e.Changed, len(asked))
}

// with: what a companion changed is not known, only that it was running.
func (e *Effects) with(records []*Record) {
	var cpu []float64
	var loaded string
	runs := 0
	for _, r := range records {
		if r.Companion == nil {
			continue
		}
		if r.Companion.Stayed {
			e.Changed++
		}
		if r.Companion.SchedExt != "" {
			loaded = ", sched_ext " + r.Companion.SchedExt
		}
		runs++
		cpu = appendShare(cpu, r.Companion.CPUSeconds, r.Companion.Seconds)
	}
	e.Known, e.CPU = runs > 0, median(cpu)
	e.Text = fmt.Sprintf("ran throughout %d of %d runs%s; its effects are not known", e.Changed, runs, loaded)
}

// appendShare adds the share of a CPU that was used, if the run was long enough for it to mean
// anything.
func appendShare(shares []float64, cpu, seconds float64) []float64 {
	if seconds < 1 {
		return shares
	}
	return append(shares, cpu/seconds)
}

func levelName(l int) string { return topology.Level(l).String() }
