// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strconv"
	"strings"
	"unicode"
)

// Style is what a terminal can show.
type Style struct {
	ASCII bool // no other characters
	Mono  bool // no colours, but bold, dim, reverse and underline
	Plain bool // no control sequences at all
}

// ink is a colour of the terminal's own palette, 0 for none, and attributes.
type ink uint16

const (
	red   ink = 31
	green ink = 32
	amber ink = 33
	blue  ink = 36
	grey  ink = 90

	colour  ink = 0xff
	bold    ink = 1 << 8
	dim     ink = 1 << 9
	under   ink = 1 << 10
	reverse ink = 1 << 11
)

// attributes are the SGR parameters of ECMA-48.
var attributes = []struct {
	ink ink
	sgr string
}{{bold, "1"}, {dim, "2"}, {under, "4"}, {reverse, "7"}}

type cell struct {
	r   rune
	ink ink
}

// canvas is a frame of cells. What does not fit is cut off.
type canvas struct {
	width, height int
	cells         []cell
}

func newCanvas(width, height int) *canvas {
	c := &canvas{width: width, height: height, cells: make([]cell, width*height)}
	for i := range c.cells {
		c.cells[i].r = ' '
	}
	return c
}

func (c *canvas) set(x, y int, r rune, i ink) {
	if x >= 0 && x < c.width && y >= 0 && y < c.height {
		c.cells[y*c.width+x] = cell{r, i}
	}
}

// put writes text that may come from other processes, and returns where it ends.
func (c *canvas) put(x, y int, text string, i ink) int {
	for _, r := range text {
		c.set(x, y, harmless(r), i)
		x++
	}
	return x
}

// plainTo ends the scripts that are written from left to right, one column a letter.
const plainTo = 0x590

// harmless replaces what would do something to a terminal, or not take one column. What
// the screen itself draws is from the blocks of boxes and bars.
func harmless(r rune) rune {
	switch {
	case r >= 0x2500 && r < 0x25a0:
		return r
	case r < plainTo && unicode.IsPrint(r) && !unicode.Is(unicode.M, r):
		return r
	}
	return '?'
}

// fade dims the rows from y on, for they are stale.
func (c *canvas) fade(from, to int) {
	for i := from * c.width; i < min(to, c.height)*c.width; i++ {
		c.cells[i].ink = c.cells[i].ink&^bold | dim
	}
}

// lines writes the rows, without blanks at their ends.
func (c *canvas) lines(s Style) []string {
	lines := make([]string, c.height)
	var b strings.Builder
	for y := range lines {
		row := c.cells[y*c.width : (y+1)*c.width]
		for n := len(row); n > 0 && row[n-1].r == ' ' && s.shown(row[n-1].ink)&(reverse|under) == 0; n-- {
			row = row[:n-1]
		}
		b.Reset()
		now := ink(0)
		for _, cell := range row {
			i := s.shown(cell.ink)
			if i != now {
				b.WriteString(i.sgr())
				now = i
			}
			b.WriteRune(cell.r)
		}
		if now != 0 {
			b.WriteString(ink(0).sgr())
		}
		lines[y] = b.String()
	}
	return lines
}

func (s Style) shown(i ink) ink {
	switch {
	case s.Plain:
		return 0
	case s.Mono:
		return i &^ colour
	}
	return i
}

func (i ink) sgr() string {
	text := "\x1b["
	sep := ""
	if i != 0 {
		text, sep = "\x1b[0", ";"
	}
	for _, a := range attributes {
		if i&a.ink != 0 {
			text += sep + a.sgr
		}
	}
	if i&colour != 0 {
		text += sep + strconv.Itoa(int(i&colour))
	}
	return text + "m"
}

// bars are eight heights.
func (s Style) bars() []rune {
	if s.ASCII {
		return []rune("_.:-=+*#")
	}
	return []rune("▁▂▃▄▅▆▇█")
}

func (s Style) rule() rune {
	if s.ASCII {
		return '|'
	}
	return '│'
}
