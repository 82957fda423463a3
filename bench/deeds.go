// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"

	"mllb/bench/daemon"
	"mllb/topology"
)

// Deeds say what an arm did, so that one that did nothing is not taken for one
// as good as stock. Numbers are medians of a run.
type Deeds struct {
	Known    bool `json:"known"`    // there is somebody who could have done something, and says so
	Changed  int  `json:"changed"`  // runs in which it did
	NoOp     bool `json:"no_op"`    // it never did: what is measured is stock, and the cost of looking
	Asked    Num  `json:"asked"`    // decisions put to the policy
	Approved Num  `json:"approved"` //
	Moved    Num  `json:"moved"`
	Held     Num  `json:"held_in_place"`
	CPU      Num  `json:"cpu_share"` // of one CPU: mllbd's, or that of the program beside

	Moves map[string]Num `json:"moved_by_level,omitempty"`
	Text  string         `json:"text"`
}

func newDeeds(arm *Arm, records []*Record) Deeds {
	d := Deeds{Asked: undefined, Approved: undefined, Moved: undefined, Held: undefined, CPU: undefined}
	switch arm.Kind {
	case Daemon:
		d.daemon(arm, records)
	case Kernel:
		d.kernel(arm, records)
	case With:
		d.with(records)
	}
	d.NoOp = d.Known && d.Changed == 0
	if d.NoOp {
		d.Text = "no-op: " + d.Text
	}
	return d
}

func (d *Deeds) daemon(arm *Arm, records []*Record) {
	var asked, approved, moved, held, cpu []float64
	var levels [topology.NumLevels][]float64
	for _, r := range records {
		if r.Daemon == nil {
			continue
		}
		if r.Daemon.Changed() {
			d.Changed++
		}
		asked = append(asked, float64(daemon.Total(r.Daemon.Asked)))
		approved = append(approved, float64(daemon.Total(r.Daemon.Approved)))
		moved = append(moved, float64(daemon.Total(r.Daemon.Moved)))
		held = append(held, float64(r.Daemon.HeldInPlace))
		cpu = append(cpu, r.Daemon.CPUSeconds/max(r.Daemon.Seconds, 1e-9))
		for l := range levels {
			levels[l] = append(levels[l], float64(r.Daemon.Moved[levelName(l)]))
		}
	}
	d.Known = len(asked) > 0
	if !d.Known {
		return
	}
	d.Asked, d.Approved, d.Moved, d.Held, d.CPU = median(asked), median(approved), median(moved), median(held), median(cpu)
	d.Moves = make(map[string]Num)
	for l, values := range levels {
		if m := median(values); m > 0 {
			d.Moves[levelName(l)] = m
		}
	}
	d.Text = fmt.Sprintf("asked %s, approved %s, moved %s%s, held in place %s; something was changed in %d of %d runs",
		d.Asked, d.Approved, d.Moved, byLevel(d.Moves), d.Held, d.Changed, len(asked))
	if slices.Max(asked) == 0 {
		d.Text += "; the policy was never asked"
	}
	if arm.Mode == "observe" {
		d.Text = fmt.Sprintf("it only observes; asked %s, approved %s", d.Asked, d.Approved)
	}
}

func byLevel(moves map[string]Num) string {
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
func (d *Deeds) kernel(arm *Arm, records []*Record) {
	var asked, approved []float64
	for _, r := range records {
		if r.Kernel == nil {
			continue
		}
		k := r.Kernel
		if arm.Mode == "replace" && k.asked() > 0 {
			d.Changed++
		}
		asked = append(asked, float64(k.asked()))
		approved = append(approved, float64(k.Both[0][1]+k.Both[1][1]+k.Alone[1]))
	}
	d.Known = len(asked) > 0
	d.Asked, d.Approved = median(asked), median(approved)
	d.Text = fmt.Sprintf("the kernel asked the network %s times, and %s times it said migrate; it was obeyed in %d of %d runs",
		d.Asked, d.Approved, d.Changed, len(asked))
}

// with: what another program did is not known, only whether it was there.
func (d *Deeds) with(records []*Record) {
	var cpu []float64
	var loaded string
	for _, r := range records {
		if r.Beside == nil {
			continue
		}
		if r.Beside.Stayed {
			d.Changed++
		}
		if r.Beside.SchedExt != "" {
			loaded = ", sched_ext " + r.Beside.SchedExt
		}
		cpu = append(cpu, r.Beside.CPUSeconds/max(r.Beside.Seconds, 1e-9))
	}
	d.Known, d.CPU = len(cpu) > 0, median(cpu)
	d.Text = fmt.Sprintf("it ran beside %d of %d runs%s; what it did is not known", d.Changed, len(cpu), loaded)
}

func levelName(l int) string { return topology.Level(l).String() }
