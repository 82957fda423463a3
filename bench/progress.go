// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"strings"
	"time"

	"mllb/internal/number"
	"mllb/internal/progress"
)

// board shows the table of results so far, and the time left: drawn over on a
// terminal; elsewhere a line for each run.
type board struct {
	*progress.Display
	now   func() time.Time
	s     *store
	order []Slot
	rows  map[Slot]*row
	at    int // runs that are done or given up
	slot  Slot
	slow  []Slow    // what a run waits for
	since time.Time // the run under way began
	told  int       // how often it was said how long all of it takes
}

// row is one workload under one arm.
type row struct {
	times  []float64 // or figures
	moved  []float64 // threads moved or held, a run
	failed int
	gone   bool // given up
	took   time.Duration
	runs   int // that took is of
}

func newBoard(out io.Writer, s *store) *board {
	p := &board{Display: progress.New(out, "mllb bench"), now: time.Now, s: s, order: s.Head.Config.Slots(), rows: make(map[Slot]*row)}
	for _, w := range s.Head.Config.Workloads {
		for _, a := range s.Head.Config.Arms {
			p.rows[Slot{Workload: w.Name, Arm: a.Name}] = &row{}
		}
	}
	due := make(map[Slot]bool)
	for _, slot := range p.order {
		due[slot] = true
	}
	for i := range s.Records {
		r := &s.Records[i]
		p.count(r)
		if due[r.Slot] && r.fills() {
			p.at++
		}
		// What was around it then is not known: a second, say.
		p.took(r, time.Duration(r.Wall*float64(time.Second))+time.Second)
	}
	return p
}

// begin says what is to come.
func (p *board) begin() {
	c := &p.s.Head.Config
	for _, note := range p.s.Head.Notes {
		p.Say("warning: %s", note)
	}
	for _, s := range p.s.Head.Skipped {
		p.Say("skipped %s: %s", s.What, s.Why)
	}
	if few := c.tooFew(); few != "" {
		p.Say("warning: %s", few)
	}
	if p.s.Torn {
		p.Say("the last record was cut off; its run is repeated")
	}
	p.Say("%s, %s, %s of each and %d for warm-up: %s, %d of them done; results in %s",
		number.Of(len(c.Workloads), "workload"), number.Of(len(c.Arms), "arm"), number.Of(c.Runs, "run"), c.Warmup, number.Of(len(p.order), "run"), p.at, p.s.dir)
}

func (p *board) next(s Slot) {
	p.slot, p.since, p.slow = s, p.now(), nil
	p.draw()
}

// wait says that a run waits until CPUs are faster, for a limited time.
func (p *board) wait(slow []Slow, limit time.Duration) {
	if !p.Terminal() && len(p.slow) == 0 {
		p.Say("%s: waiting, at most %s: %s", p.slot, progress.Brief(limit), slowText(slow))
	}
	p.slow = slow
	p.draw()
}

// goOn says that it waits no longer.
func (p *board) goOn() {
	if len(p.slow) > 0 {
		p.slow = nil
		p.draw()
	}
}

func (p *board) add(r *Record) {
	if r.fills() {
		p.at++
	}
	p.count(r)
	p.took(r, p.now().Sub(p.since))
	switch {
	case !p.Terminal():
		p.Say("%s: %s; %s", r.Slot, outcome(r), p.left())
	case r.Failed != "" || len(r.Disturbed) > 0:
		p.Say("%s: %s", r.Slot, printable(outcome(r)))
	}
	p.forecast(r)
}

// giveUp leaves out a run of what has only failed so far.
func (p *board) giveUp(s Slot) {
	p.at++
	if r := p.rows[s.pair()]; !r.gone {
		r.gone = true
		p.Say("gave up %s under %s: all of its %s failed", s.Workload, s.Arm, number.Of(r.failed, "run"))
	}
}

func (p *board) count(r *Record) {
	row := p.rows[r.pair()]
	if row == nil { // of an arm or workload that is not asked for: cannot be, by the digest
		return
	}
	switch {
	case !r.fills():
	case r.Failed != "":
		row.failed++
	case !r.Warmup():
		time, _ := judged(r)
		row.times = append(row.times, time)
		row.moved = append(row.moved, changes(r))
	}
}

func (p *board) took(r *Record, d time.Duration) {
	if row := p.rows[r.pair()]; row != nil {
		row.took += d // what is made again is a part of the time that a run takes
		if r.fills() {
			row.runs++
		}
	}
}

// changes is how many threads the daemon moved or held.
func changes(r *Record) (n float64) {
	if r.Daemon == nil {
		return 0
	}
	for _, m := range r.Daemon.Moved {
		n += float64(m)
	}
	return n + float64(r.Daemon.HeldInPlace)
}

func outcome(r *Record) string {
	if r.Failed != "" {
		return "failed: " + r.Failed
	}
	text := number.Num(r.Wall).String() + " s"
	if r.Score != nil {
		text += ", figure " + number.Num(*r.Score).String()
	}
	if d := r.Daemon; d != nil {
		text += fmt.Sprintf(", moved or held %s", number.Num(changes(r)))
	}
	if v, ok := sampled(meanImbalance)(r); ok {
		text += fmt.Sprintf(", imbalance %s", number.Num(v))
	}
	switch {
	case r.Kept:
		text += fmt.Sprintf(", disturbed (%s), but it counts: made again %d times", slowText(r.Disturbed), mostAgain)
	case len(r.Disturbed) > 0:
		text += fmt.Sprintf(", disturbed (%s), to be made again", slowText(r.Disturbed))
	}
	return text
}

// left is how far it is and how long the rest should take.
func (p *board) left() string {
	text := fmt.Sprintf("%d of %d runs", p.at, len(p.order))
	if d, known := p.rest(); known {
		text += fmt.Sprintf(", about %s left", progress.Brief(d))
	}
	return text
}

// rest is how long the rest should take: each run that is due as long as those like
// it took so far.
func (p *board) rest() (d time.Duration, known bool) {
	var all time.Duration
	runs := 0
	for _, r := range p.rows {
		all, runs = all+r.took, runs+r.runs
	}
	if runs == 0 {
		return 0, false
	}
	for _, s := range p.order[min(p.at, len(p.order)):] {
		switch r := p.rows[s.pair()]; {
		case r.gone:
		case r.runs > 0:
			d += r.took / time.Duration(r.runs)
		default:
			d += all / time.Duration(runs)
		}
	}
	return d, true
}

// draw puts the table over the last one; without a terminal, lines are written of runs.
func (p *board) draw() {
	if !p.Terminal() {
		return
	}
	p.Table(p.table())
	p.Set(p.state())
}

func (p *board) state() progress.State {
	left, _ := p.rest()
	return progress.State{Share: float64(p.at) / float64(max(len(p.order), 1)), Left: left, Doing: fmt.Sprintf("%d of %d runs; %s", p.at, len(p.order), p.doing())}
}

func (p *board) doing() string {
	if len(p.slow) > 0 {
		return "waiting: " + slowText(p.slow) + "; then " + p.slot.String()
	}
	return "running " + p.slot.String()
}

func (p *board) table() []string {
	c := &p.s.Head.Config
	names := longest(c)
	lines := []string{fmt.Sprintf("%-*s  %-*s  %5s %10s %9s %12s", names[0], "workload", names[1], "arm", "runs", "median", "vs stock", "moved / run")}
	for _, w := range c.Workloads {
		stock := median(p.rows[Slot{Workload: w.Name, Arm: c.Arms[0].Name}].times)
		for i, a := range c.Arms {
			name := cut(w.title(), nameWidth)
			if i > 0 {
				name = ""
			}
			r := p.rows[Slot{Workload: w.Name, Arm: a.Name}]
			m := median(r.times)
			line := fmt.Sprintf("%-*s  %-*s  %5d %10s %9s %12s", names[0], name, names[1], cut(a.Name, nameWidth), len(r.times), m, ratio(m/stock), r.did(&a))
			if r.failed > 0 {
				line += fmt.Sprintf("  %d failed", r.failed)
			}
			lines = append(lines, strings.TrimRight(line, " "))
		}
	}
	return lines
}

func (r *row) did(a *Arm) string {
	if a.Kind != Daemon {
		return ""
	}
	return median(r.moved).String()
}

// nameWidth is what a table has for a name; cmd:... may be a program.
const nameWidth = 24

// longest are the widths of the names of workloads and arms.
func longest(c *Config) [2]int {
	n := [2]int{len("workload"), len("arm")}
	for _, w := range c.Workloads {
		n[0] = max(n[0], len([]rune(cut(w.title(), nameWidth))))
	}
	for _, a := range c.Arms {
		n[1] = max(n[1], len([]rune(cut(a.Name, nameWidth))))
	}
	return n
}
