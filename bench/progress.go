// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mllb/internal/namedfile"
	"mllb/internal/number"

	"golang.org/x/term"
)

// progress shows the table of results so far, and the time left: drawn over on a
// terminal; elsewhere a line for each run.
type progress struct {
	out   io.Writer
	size  func() (width, height int) // nil: no terminal
	now   func() time.Time
	s     *store
	order []Slot
	rows  map[Slot]*row
	at    int // runs that are done or given up
	slot  Slot
	slow  []Slow    // what a run waits for
	since time.Time // the run under way began
	drawn int       // lines on the terminal
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

func newProgress(out io.Writer, s *store) *progress {
	p := &progress{out: out, now: time.Now, s: s, order: s.Head.Config.Slots(), rows: make(map[Slot]*row)}
	if f, ok := out.(*os.File); ok && namedfile.Drawable(f) {
		p.size = func() (int, int) {
			if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 1 && h > 1 {
				return w, h
			}
			return 80, 24
		}
	}
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
func (p *progress) begin() {
	c := &p.s.Head.Config
	for _, note := range p.s.Head.Notes {
		fmt.Fprintf(p.out, "mllb bench: warning: %s\n", note)
	}
	for _, s := range p.s.Head.Skipped {
		fmt.Fprintf(p.out, "mllb bench: skipped %s: %s\n", s.What, s.Why)
	}
	if few := c.tooFew(); few != "" {
		fmt.Fprintf(p.out, "mllb bench: warning: %s\n", few)
	}
	if p.s.Torn {
		fmt.Fprintln(p.out, "mllb bench: the last record was cut off; its run is repeated")
	}
	fmt.Fprintf(p.out, "mllb bench: %s, %s, %s of each and %d for warm-up: %s, %d of them done; results in %s\n",
		number.Of(len(c.Workloads), "workload"), number.Of(len(c.Arms), "arm"), number.Of(c.Runs, "run"), c.Warmup, number.Of(len(p.order), "run"), p.at, p.s.dir)
}

func (p *progress) next(s Slot) {
	p.slot, p.since, p.slow = s, p.now(), nil
	p.draw()
}

// wait says that a run waits until CPUs are faster, for a limited time.
func (p *progress) wait(slow []Slow, limit time.Duration) {
	if p.size == nil && len(p.slow) == 0 {
		fmt.Fprintf(p.out, "mllb bench: %s: waiting, at most %s: %s\n", p.slot, brief(limit), slowText(slow))
	}
	p.slow = slow
	p.draw()
}

// goOn says that it waits no longer.
func (p *progress) goOn() {
	if len(p.slow) > 0 {
		p.slow = nil
		p.draw()
	}
}

func (p *progress) add(r *Record) {
	if r.fills() {
		p.at++
	}
	p.count(r)
	p.took(r, p.now().Sub(p.since))
	switch {
	case p.size == nil:
		fmt.Fprintf(p.out, "mllb bench: %s: %s; %s\n", r.Slot, outcome(r), p.left())
	case r.Failed != "" || len(r.Disturbed) > 0:
		p.say("%s: %s", r.Slot, printable(outcome(r)))
	}
	p.forecast(r)
}

// giveUp leaves out a run of what has only failed so far.
func (p *progress) giveUp(s Slot) {
	p.at++
	if r := p.rows[s.pair()]; !r.gone {
		r.gone = true
		p.say("gave up %s under %s: all of its %s failed", s.Workload, s.Arm, number.Of(r.failed, "run"))
	}
}

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, "mllb bench: "+format+"\n", args...)
}

func (p *progress) end() {
	if p.size != nil {
		p.clear()
	}
}

func (p *progress) count(r *Record) {
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

func (p *progress) took(r *Record, d time.Duration) {
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

func (p *progress) clear() {
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// draw puts the table over the last one.
func (p *progress) draw() {
	if p.size == nil {
		return
	}
	width, height := p.size()
	lines := p.table()
	if most := height - 2; len(lines) > most {
		lines = append(lines[:max(1, most-1)], fmt.Sprintf("... and %d more lines", len(lines)-max(1, most-1)))
	}
	lines = append(lines, p.left()+"; "+p.doing())
	p.clear()
	for _, l := range lines {
		text := []rune(l)
		fmt.Fprintf(p.out, "%s\n", string(text[:min(len(text), width-1)]))
	}
	p.drawn = len(lines)
}

func (p *progress) doing() string {
	if len(p.slow) > 0 {
		return "waiting: " + slowText(p.slow) + "; then " + p.slot.String()
	}
	return "running " + p.slot.String()
}

func (p *progress) table() []string {
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
