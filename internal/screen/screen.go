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

// Key obeys a key by its name, such as "q" or "enter", and says whether it ends the screen.
func (s *Screen) Key(key string) (end bool) {
	if key == "ctrl+c" {
		return true
	}
	if s.typing {
		s.typed(key)
		return false
	}
	if key != "h" && key != "?" {
		s.help = false
	}
	switch key {
	case "q":
		return true
	case "h", "?":
		s.help = !s.help
	case "p", "space":
		if s.paused {
			s.resume()
		} else {
			s.paused = true
		}
	case "s":
		s.sort = (s.sort + 1) % len(sorts)
	case "/":
		s.typing, s.why = true, false
	case "esc":
		if s.why {
			s.why = false
		} else {
			s.filter, s.chosen = "", 0
		}
	case "enter":
		s.move(0)
		s.why = !s.why && s.chosen != 0
	case "up", "k":
		s.move(-1)
	case "down", "j":
		s.move(1)
	case "pgup":
		s.move(-10)
	case "pgdown":
		s.move(10)
	case "home", "g":
		s.chosen = 0
	}
	return false
}

// typed is a key of the filter.
func (s *Screen) typed(key string) {
	switch {
	case key == "enter":
		s.typing = false
	case key == "esc":
		s.typing, s.filter = false, ""
	case key == "backspace":
		_, n := utf8.DecodeLastRuneInString(s.filter)
		s.filter = s.filter[:len(s.filter)-n]
	case key == "space":
		s.filter += " "
	case utf8.RuneCountInString(key) == 1:
		s.filter += key
	}
}

func (s *Screen) move(by int) {
	if list := s.listed(); len(list) > 0 {
		s.chosen = list[min(max(s.current(list)+by, 0), len(list)-1)].Seq
	}
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

// keys is the last line.
func (s *Screen) keys(c *canvas) {
	y := c.height - 1
	switch {
	case s.Keys != "":
		c.put(0, y, s.Keys, dim)
	case s.typing:
		x := c.put(0, y, "filter: "+s.filter, bold)
		c.set(x, y, ' ', reverse)
	default:
		c.put(0, y, "up/down choose  enter why  s sort  / filter  p pause  h help  q quit", dim)
	}
}

var helpText = []string{
	"The map has a cell for each CPU, or for several where there is little room: the",
	"length of its queue (. is empty, + ten or more, - nobody balances this CPU), and",
	"beside it a bar for its speed, where that is measured. Slow CPUs are underlined.",
	"The CPUs of the decision that is chosen are in reverse.",
	"",
	"imbalance  longest minus shortest queue; the largest of each half second",
	"moves      threads that mllbd moved in it",
	"says       what the policy said",
	"logit      how sure the network was; rule: it was not asked, for a feature was",
	"           out of its range in training",
	"rule       what the kernel's own rule would have said",
	"outcome    why nothing was moved, or what share of the next second it ran: green",
	"           if that is more than its part of the queue it left, red if undone",
	"",
	"up, down, pgup, pgdown, home  choose a decision",
	"enter, esc                    why it was made, and back",
	"s                             sort: newest, closest call, largest gain, thread",
	"/                             filter by any of the words shown; esc: show all",
	"p, space                      pause, and go on with what came meanwhile",
	"h, ?                          this help",
	"q, ctrl+c                     quit",
}

func (s *Screen) drawHelp(c *canvas) {
	for i, line := range helpText[:min(len(helpText), max(0, c.height-3))] {
		c.put(0, 2+i, line, 0)
	}
}
