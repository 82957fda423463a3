// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

func (d *Decision) thread() string { return fmt.Sprintf("%s %d", d.Comm, d.TID) }
func (d *Decision) path() string   { return fmt.Sprintf("%d -> %d", d.From, d.To) }

// says is the verdict, in a word.
func (d *Decision) says() string {
	if d.Active {
		return "active"
	}
	return verdict(d.Migrate)
}

func verdict(migrate bool) string {
	if migrate {
		return "migrate"
	}
	return "stay"
}

func (d *Decision) logit() string {
	switch {
	case d.Network:
		return fmt.Sprintf("%+.2f", d.Logit)
	case len(d.Outside) > 0:
		return "rule"
	}
	return ""
}

func (d *Decision) rule() string {
	if d.Active {
		return ""
	}
	return verdict(d.Rule)
}

// outcome says what came of it.
func (d *Decision) outcome() string {
	a := d.After
	switch {
	case !d.Moved:
		return d.Why
	case a == nil:
		return "moved"
	case a.Undone:
		return fmt.Sprintf("undone, %.0f %%", 100*a.Share)
	case !a.Seen:
		return "slept/ended"
	}
	return fmt.Sprintf("ran %.0f %%", 100*a.Share)
}

// inkOfOutcome is green where the thread ran for more than its part of the queue it left.
func (d *Decision) inkOfOutcome() Ink {
	switch a := d.After; {
	case !d.Moved || a == nil || !a.Seen:
		return 0
	case a.Undone:
		return red
	case a.Share*float64(d.FromQueue) >= 1:
		return green
	}
	return amber
}

// threadIn shortens the name and not the number.
func (d *Decision) threadIn(width int, _ time.Time) string {
	tid, comm := strconv.Itoa(int(d.TID)), []rune(d.Comm)
	return string(comm[:min(len(comm), max(0, width-1-len(tid)))]) + " " + tid
}

// threadWidth is what 80 columns leave; there may be more.
const threadWidth, wholeThread = 17, 23

// columnWidth is how wide a column is.
func (c *canvas) columnWidth(i int) int {
	if columns[i].width == threadWidth && c.width >= 80+wholeThread-threadWidth {
		return wholeThread
	}
	return columns[i].width
}

// columns of the list.
var columns = []struct {
	name  string
	width int
	text  func(d *Decision, width int, now time.Time) string
}{
	{"ago", 5, func(d *Decision, _ int, now time.Time) string { return ago(now.Sub(d.At)) }},
	{"thread", threadWidth, (*Decision).threadIn},
	{"from -> to", 11, func(d *Decision, _ int, _ time.Time) string { return d.path() }},
	{"level", 7, func(d *Decision, _ int, _ time.Time) string { return d.Level }},
	{"says", 7, func(d *Decision, _ int, _ time.Time) string { return d.says() }},
	{"logit", 6, func(d *Decision, _ int, _ time.Time) string { return d.logit() }},
	{"rule", 7, func(d *Decision, _ int, _ time.Time) string { return d.rule() }},
}

func ago(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return fmt.Sprintf("%.0fh", d.Hours())
}

// list draws decisions into what is left of the canvas.
func (s *Screen) list(c *canvas, y int, list []*Decision, now time.Time) {
	head := fmt.Sprintf("%s, %s", many(len(list), "decision"), sorts[s.sort].name)
	if s.filter != "" {
		head += ", with " + strconv.Quote(s.filter)
	}
	room := c.height - 3 - y
	if room < 1 {
		return
	}
	c.put(0, y, head, bold)
	x := 0
	for i, col := range columns {
		c.put(x, y+1, col.name, dim)
		x += c.columnWidth(i) + 1
	}
	c.put(x, y+1, "outcome", dim)
	at := s.current(list)
	s.top = min(max(s.top, at-room+1), at, max(0, len(list)-room))
	for i, d := range list[s.top:min(len(list), s.top+room)] {
		s.decision(c, y+2+i, d, now)
	}
}

func (s *Screen) decision(c *canvas, y int, d *Decision, now time.Time) {
	x := 0
	for i, col := range columns {
		width := c.columnWidth(i)
		text := []rune(col.text(d, width, now))
		c.put(x, y, string(text[:min(len(text), width)]), 0)
		x += width + 1
	}
	c.put(x, y, d.outcome(), d.inkOfOutcome())
	if d.Seq == s.chosen {
		for x := range c.width {
			c.cells[y*c.width+x].ink |= reverse
		}
	}
}

// drawWhy says all that is known of a decision.
func (s *Screen) drawWhy(c *canvas, y int, d *Decision) {
	c.put(0, y, fmt.Sprintf("why %s (process %d): CPU %d (queue %d) -> CPU %d (queue %d)",
		d.thread(), d.TGID, d.From, d.FromQueue, d.To, d.ToQueue), bold)
	answer := "the policy: " + verdict(d.Migrate)
	switch {
	case d.Active:
		answer = "a running thread is pushed: no policy is asked"
	case d.Network:
		answer = fmt.Sprintf("the network: %s, logit %+.3f (from %+.3f on: migrate)", verdict(d.Migrate), d.Logit, s.setup.Cut)
	case len(d.Outside) > 0:
		answer = "unlike the training data (!), so the rule decided"
	}
	if !d.Active {
		answer += "; the rule: " + verdict(d.Rule)
	}
	c.put(0, y+1, answer, 0)
	x := c.put(0, y+2, fmt.Sprintf("expected gain %+.0f %%; ", 100*d.Gain), 0)
	c.put(x, y+2, d.outcome(), d.inkOfOutcome())
	if a := d.After; a != nil && a.Seen {
		c.put(x, y+2, fmt.Sprintf("%s of the next second, now on CPU %d", d.outcome(), a.CPU), d.inkOfOutcome())
	}
	s.values(c, y+3, d)
}

// The table of features.
const (
	valueWidth = 39
	whyText    = 3 // rows above it
)

// whyRows is how many rows drawWhy takes.
func whyRows(c *canvas, d *Decision) int {
	across := max(1, c.width/valueWidth)
	return whyText + (len(d.Values)+across-1)/across
}

// values is the table of features, in as many columns as it takes.
func (s *Screen) values(c *canvas, y int, d *Decision) {
	n := min(len(d.Values), len(s.setup.Features))
	if n == 0 {
		return
	}
	rows := max(min(c.height-1-y, n), whyRows(c, d)-whyText)
	for i := range n {
		f := &s.setup.Features[i]
		text, style := fmt.Sprintf("  %-15s %7.4g", f.Name, d.Values[i]), Ink(0)
		if f.Range != nil {
			text += fmt.Sprintf("  %.4g..%.4g", f.Range[0], f.Range[1])
		}
		if slices.Contains(d.Outside, i) {
			text, style = "!"+text[1:], red|bold
		}
		if y+i%rows < c.height-1 {
			c.put(i/rows*valueWidth, y+i%rows, text, style)
		}
	}
}
