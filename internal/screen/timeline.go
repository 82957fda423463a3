// SPDX-License-Identifier: Apache-2.0

package screen

import "fmt"

// timeline draws how imbalance went, the newest at the right, and when threads were moved.
func (s *Screen) timeline(c *canvas, y int) int {
	rows := 1
	if c.height >= 40 {
		rows = 4
	}
	const label = 14
	width := c.width - label
	known := last(s.state.Imbalance, width)
	moves := last(s.state.Moves, width)
	high := int32(1)
	for _, v := range known {
		high = max(high, v)
	}
	c.put(0, y, "imbalance", dim)
	if rows > 1 {
		c.put(0, y+1, fmt.Sprintf("0 to %d", high), dim)
	}
	bars := s.Style.bars()
	for i, v := range known {
		// Eighths of a row; what is not 0 is seen.
		eighths := int(max(v, 0)) * rows * len(bars) / int(high)
		if v > 0 {
			eighths = max(eighths, 1)
		}
		style := inkOfImbalance(v)
		for row := range rows {
			full := min(max(eighths-(rows-1-row)*len(bars), 0), len(bars))
			if full > 0 {
				c.set(c.width-len(known)+i, y+row, bars[full-1], style)
			}
		}
		if v == 0 {
			c.set(c.width-len(known)+i, y+rows-1, '.', grey)
		}
	}
	if rows == 1 && high > 1 {
		c.put(label-len(fmt.Sprint(high))-1, y, fmt.Sprint(high), dim)
	}
	y += rows
	c.put(0, y, "moves", dim)
	for i, v := range moves {
		if v > 0 {
			const digits = ".123456789+"
			c.set(c.width-len(moves)+i, y, rune(digits[min(int(v), len(digits)-1)]), blue|bold)
		}
	}
	return y + 1
}

func last(values []int32, n int) []int32 {
	return values[max(0, len(values)-max(0, n)):]
}

// inkOfImbalance: a difference of one thread is none.
func inkOfImbalance(v int32) Ink {
	switch {
	case v <= 1:
		return green
	case v == 2:
		return amber
	}
	return red
}
