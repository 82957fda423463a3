// SPDX-License-Identifier: Apache-2.0

package screen

import "unicode/utf8"

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
