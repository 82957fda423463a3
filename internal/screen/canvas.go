// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Style is what a terminal can show.
type Style struct {
	ASCII bool // no other characters
	Mono  bool // no colours, but bold, dim, reverse and underline
	Plain bool // no control sequences at all
}

// Ink is a colour of the terminal's own palette and attributes.
type Ink uint16

const (
	red   Ink = 31
	green Ink = 32
	amber Ink = 33
	blue  Ink = 36
	grey  Ink = 90

	colour  Ink = 0xff
	bold    Ink = 1 << 8
	dim     Ink = 1 << 9
	under   Ink = 1 << 10
	reverse Ink = 1 << 11
)

// attributes are the SGR parameters of ECMA-48.
var attributes = []struct {
	ink Ink
	sgr byte
}{{bold, '1'}, {dim, '2'}, {under, '4'}, {reverse, '7'}}

type cell struct {
	r   rune
	ink Ink
}

// canvas is a frame of cells. What does not fit is cut off.
type canvas struct {
	width, height int
	cells         []cell
}

// clear empties the canvas, in any size.
func (c *canvas) clear(width, height int) {
	c.width, c.height = max(width, 1), max(height, 1)
	c.cells = slices.Grow(c.cells[:0], c.width*c.height)[:c.width*c.height]
	for i := range c.cells {
		c.cells[i] = cell{r: ' '}
	}
}

func (c *canvas) set(x, y int, r rune, i Ink) {
	if x >= 0 && x < c.width && y >= 0 && y < c.height {
		c.cells[y*c.width+x] = cell{r, i}
	}
}

// put writes text that may come from other processes, and returns where it ends.
func (c *canvas) put(x, y int, text string, i Ink) int {
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
	var b []byte
	for y := range lines {
		row := c.cells[y*c.width : (y+1)*c.width]
		for n := len(row); n > 0 && row[n-1].r == ' ' && s.shown(row[n-1].ink)&(reverse|under) == 0; n-- {
			row = row[:n-1]
		}
		b = b[:0]
		now := Ink(0)
		for _, cell := range row {
			if i := s.shown(cell.ink); i != now {
				b, now = i.appendSGR(b), i
			}
			b = utf8.AppendRune(b, cell.r)
		}
		if now != 0 {
			b = Ink(0).appendSGR(b)
		}
		lines[y] = string(b)
	}
	return lines
}

func (s Style) shown(i Ink) Ink {
	switch {
	case s.Plain:
		return 0
	case s.Mono:
		return i &^ colour
	}
	return i
}

// Palette is the number of the colour in the terminal's palette, or -1.
func (i Ink) Palette() int {
	switch i &= colour; {
	case i == 0:
		return -1
	case i >= 90:
		return int(i) - 90 + 8
	}
	return int(i) - 30
}

// Attributes says which of those there are.
func (i Ink) Attributes() (isBold, isDim, isUnder, isReverse bool) {
	return i&bold != 0, i&dim != 0, i&under != 0, i&reverse != 0
}

func (i Ink) appendSGR(b []byte) []byte {
	b = append(b, "\x1b["...)
	if i != 0 {
		b = append(b, '0')
	}
	for _, a := range attributes {
		if i&a.ink != 0 {
			b = append(append(b, ';'), a.sgr)
		}
	}
	if i&colour != 0 {
		b = strconv.AppendInt(append(b, ';'), int64(i&colour), 10)
	}
	return append(b, 'm')
}

// bars are eight heights.
func (s Style) bars() []rune {
	if s.ASCII {
		return asciiBars
	}
	return blockBars
}

var asciiBars, blockBars = []rune("_.:-=+*#"), []rune("▁▂▃▄▅▆▇█")

func (s Style) rule() rune {
	if s.ASCII {
		return '|'
	}
	return '│'
}
