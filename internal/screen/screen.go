// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Screen is what a person looks at: the last state, and what they chose to see of it.
type Screen struct {
	Style Style
	Keys  string // the last line, if no keys reach the screen
	Link  string // what is wrong with who sends states, or ""

	setup     *Setup
	state     *State // nil: there was none yet
	decisions []Decision

	paused bool
	held   []State // that came while paused
	sort   int     // of sorts
	filter string
	typing bool // the filter
	help   bool
	why    bool
	chosen uint64 // Seq of the decision that is marked; 0: the first
	top    int    // of the list, the first row shown

	now, before canvas
}

// Take shows a state, unless the screen is paused.
func (s *Screen) Take(st State) {
	if s.paused {
		if st.Setup == nil && len(s.held) > 0 { // all but the last are for their decisions
			last := s.held[len(s.held)-1]
			st.Setup, st.Decisions = last.Setup, take(last.Decisions, st.Decisions)
			s.held = s.held[:0]
		}
		s.held = append(s.held, st)
		return
	}
	if st.Setup != nil {
		s.setup, s.decisions, s.chosen, s.why = st.Setup, nil, 0, false
	}
	s.decisions = take(s.decisions, st.Decisions)
	st.Decisions = nil
	s.state = &st
}

func (s *Screen) resume() {
	s.paused = false
	for _, st := range s.held {
		s.Take(st)
	}
	s.held = nil
}

// sorts are the orders of decisions, the default first.
var sorts = []struct {
	name string
	less func(a, b *Decision) int
}{
	{"newest first", func(a, b *Decision) int { return cmp.Compare(b.Seq, a.Seq) }},
	{"closest call first", func(a, b *Decision) int {
		return cmp.Or(compareBool(b.Network, a.Network), cmp.Compare(max(a.Logit, -a.Logit), max(b.Logit, -b.Logit)))
	}},
	{"largest gain first", func(a, b *Decision) int { return cmp.Compare(b.Gain, a.Gain) }},
	{"by thread", func(a, b *Decision) int { return cmp.Or(strings.Compare(a.Comm, b.Comm), cmp.Compare(a.TID, b.TID)) }},
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// listed are the decisions that pass the filter, in order.
func (s *Screen) listed() []*Decision {
	var list []*Decision
	for i := len(s.decisions) - 1; i >= 0; i-- {
		if d := &s.decisions[i]; s.filter == "" || strings.Contains(d.text(), s.filter) {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, sorts[s.sort].less)
	return list
}

// text is what a filter looks at.
func (d *Decision) text() string {
	moved := ""
	if d.Moved {
		moved = "moved"
	}
	return strings.Join([]string{d.thread(), d.path(), d.Level, d.says(), d.logit(), d.outcome(), moved}, " ")
}

// current is where in the list the decision is that is marked: the first, if none is.
func (s *Screen) current(list []*Decision) int {
	return max(0, slices.IndexFunc(list, func(d *Decision) bool { return d.Seq == s.chosen }))
}

// Frame draws all as it is now: height lines of at most width columns.
func (s *Screen) Frame(width, height int, now time.Time) []string {
	s.now.clear(width, height)
	s.draw(&s.now, now)
	return s.now.lines(s.Style)
}

// Paint draws all as it is now, and tells of the cells that are not as they were the last time.
func (s *Screen) Paint(width, height int, now time.Time, set func(x, y int, r rune, i Ink)) {
	s.now, s.before = s.before, s.now
	s.now.clear(width, height)
	s.draw(&s.now, now)
	other := s.now.width != s.before.width || s.now.height != s.before.height
	for i, cell := range s.now.cells {
		if other || cell != s.before.cells[i] {
			set(i%s.now.width, i/s.now.width, cell.r, s.Style.shown(cell.ink))
		}
	}
}

func (s *Screen) draw(c *canvas, now time.Time) {
	s.keys(c)
	if s.state == nil || s.setup == nil {
		c.put(0, 0, "mllbd", bold)
		c.put(7, 0, cmp.Or(s.Link, "waiting for its first tick"), 0)
		return
	}
	if s.help {
		s.title(c, now)
		s.drawHelp(c)
		return
	}
	list := s.listed()
	var d *Decision
	if i := s.current(list); s.chosen != 0 && i < len(list) && list[i].Seq == s.chosen {
		d = list[i]
	}
	y := s.rows(c, 1)
	room := max(2, (c.height-7)/2)
	if s.why && d != nil {
		room = max(2, c.height-y-2-whyRows(c, d))
	}
	y = s.machine(c, y, room, d)
	if s.why && d != nil {
		s.drawWhy(c, y, d)
	} else {
		y = s.timeline(c, y)
		s.list(c, y, list, now)
	}
	if s.state.stale(now) || s.Link != "" {
		c.fade(1, c.height-1)
	}
	s.title(c, now)
}

// title is the first line: what runs, and whether what is below is true now.
func (s *Screen) title(c *canvas, now time.Time) {
	st := s.state
	age := now.Sub(st.Read)
	x := c.put(0, 0, "mllbd "+st.Mode, bold)
	text := fmt.Sprintf("  policy %s  %s/%s  up %v  cpu %.2f %%",
		st.Policy, st.Snapshots, st.Enforcer, st.Up.Round(time.Second), 100*st.Share)
	c.put(x, 0, text, 0)
	var marks []string
	if s.paused {
		marks = append(marks, "PAUSED")
	}
	if st.stale(now) {
		mark := fmt.Sprintf("STALE %.1f s", age.Seconds())
		if st.Throttled {
			mark = fmt.Sprintf("THROTTLED %.1f s", age.Seconds())
		}
		marks = append(marks, mark)
	}
	if s.Link != "" {
		marks = append(marks, s.Link)
	}
	if len(marks) > 0 {
		mark := " " + strings.Join(marks, ", ") + " "
		c.put(max(0, c.width-utf8.RuneCountInString(mark)), 0, mark, reverse|amber)
	}
}

// rows are the lines of text about the run, warnings last.
func (s *Screen) rows(c *canvas, y int) int {
	room := max(2, c.height/6)
	for _, r := range s.state.Rows {
		if r.Warning || room == 0 {
			continue
		}
		c.put(c.put(0, y, fmt.Sprintf("%-11s", r.Name), dim), y, r.Text, 0)
		y++
		room--
	}
	warnings := 2
	for _, r := range s.state.Rows {
		if r.Warning && warnings > 0 {
			c.put(c.put(0, y, fmt.Sprintf("%-11s", r.Name), amber|bold), y, r.Text, amber)
			y++
			warnings--
		}
	}
	return y
}
