// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strconv"
)

// layout is a way to draw the CPUs, of which the first that fits is taken.
type layout struct {
	ids   bool // the CPU's number before its cell
	speed bool // its speed behind it
	gap   bool // a blank between cores
	cores int  // a cell stands for so many cores; 0: for a CPU
	close bool // nodes beside each other
}

var layouts = []layout{
	{ids: true, speed: true, gap: true},
	{speed: true, gap: true},
	{speed: true},
	{gap: true},
	{},
	{cores: 1}, {cores: 1, close: true},
	{cores: 2}, {cores: 2, close: true},
	{cores: 4}, {cores: 4, close: true},
	{cores: 8, close: true},
	{cores: 16, close: true},
}

// nodeLabel is how wide a node's name is.
const nodeLabel = 9

// machine draws the CPUs into a number of rows at the most, and marks those of a decision.
func (s *Screen) machine(c *canvas, y, room int, marked *Decision) int {
	f := &flow{Screen: s, width: c.width, marked: marked, digits: 1}
	if n := len(s.setup.CPUs); n != len(s.state.Queue) || n == 0 {
		return y
	}
	for _, p := range s.setup.CPUs {
		f.digits = max(f.digits, len(strconv.Itoa(p.CPU)))
	}
	f.speeds = len(s.state.Speed) == len(s.setup.CPUs)
	for _, f.layout = range layouts {
		if f.speed && !f.speeds && !f.ids {
			continue
		}
		if f.draw(nil, 0, 0) <= room {
			break
		}
	}
	x := c.put(0, y, fmt.Sprintf("%-11s", "machine"), dim)
	c.put(x, y, f.head(), 0)
	return min(f.draw(c, y+1, y+1+room), y+1+room)
}

// flow draws cells one after the other.
type flow struct {
	*Screen
	layout
	width  int
	digits int  // of the largest number
	speeds bool // are known
	marked *Decision

	c     *canvas // nil: only where things would be is of interest
	limit int     // rows from here on are not drawn
	x, y  int
}

// head says what the map shows.
func (f *flow) head() string {
	cpus := f.setup.CPUs
	nodes, llcs, cores := 0, 0, 0
	for i := range cpus {
		if i == 0 || cpus[i].Node != cpus[i-1].Node {
			nodes++
		}
		if i == 0 || cpus[i].LLC != cpus[i-1].LLC {
			llcs++
		}
		if i == 0 || cpus[i].Core != cpus[i-1].Core {
			cores++
		}
	}
	cell := "queue of a CPU"
	switch {
	case f.cores > 0:
		cell = "longest queue of " + many(f.cores, "core")
	case f.speeds && f.speed:
		cell = "queue, speed"
	}
	return fmt.Sprintf("%s %s %s %s; cell: %s", many(nodes, "node"), many(llcs, "LLC"), many(cores, "core"), many(len(cpus), "CPU"), cell)
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// draw returns the row after the last.
func (f *flow) draw(c *canvas, y, limit int) int {
	f.c, f.x, f.y, f.limit = c, 0, y, limit
	cpus := f.setup.CPUs
	for from := 0; from < len(cpus); {
		to := from + 1
		for to < len(cpus) && cpus[to].Node == cpus[from].Node {
			to++
		}
		f.node(from, to)
		from = to
	}
	return f.y + 1
}

func (f *flow) put(text string, i Ink) {
	for _, r := range text {
		f.set(r, i)
	}
}

func (f *flow) set(r rune, i Ink) {
	if f.c != nil && f.y < f.limit {
		f.c.set(f.x, f.y, r, i)
	}
	f.x++
}

// node draws the CPUs from one index to another.
func (f *flow) node(from, to int) {
	label := fmt.Sprintf("node %-*d", nodeLabel-5, f.setup.CPUs[from].Node)
	indent := nodeLabel
	if f.close {
		label, indent = fmt.Sprintf("%d:", f.setup.CPUs[from].Node), 0
		if w := len(label) + (to-from+f.cores-1)/f.cores; f.x > 0 && f.x+2+w > f.width {
			f.x, f.y = 0, f.y+1
		} else if f.x > 0 {
			f.put("  ", 0)
		}
	} else if f.x > 0 {
		f.x, f.y = 0, f.y+1
	}
	f.put(label, dim)
	first := true
	for i := from; i < to; {
		n := f.group(i, to)
		sep := 0
		switch {
		case first:
		case f.setup.CPUs[i].LLC != f.setup.CPUs[i-1].LLC:
			if sep = 1; f.gap {
				sep = 3
			}
		case f.gap:
			sep = 1
		}
		if f.x+sep+f.cellWidth(n) > f.width && f.x > indent {
			f.x, f.y, sep = indent, f.y+1, 0
		}
		if !first && sep > 0 && f.setup.CPUs[i].LLC != f.setup.CPUs[i-1].LLC {
			f.x += sep / 2
			f.set(f.Style.rule(), dim)
			sep /= 2
		}
		f.x += sep
		f.cell(i, i+n)
		i, first = i+n, false
	}
}

// group is how many of the CPUs from i on stay together: those of a core, or those of one
// cell; never of two caches.
func (f *flow) group(i, to int) int {
	cpus := f.setup.CPUs
	cores, n := 1, 1
	for ; i+n < to && cpus[i+n].LLC == cpus[i].LLC; n++ {
		if cpus[i+n].Core != cpus[i+n-1].Core {
			if cores++; cores > max(1, f.cores) {
				break
			}
		}
	}
	return n
}

func (f *flow) cellWidth(n int) int {
	switch {
	case f.cores > 0:
		return 1
	case f.ids:
		return n*(f.digits+2+f.bar()+1) - 1
	}
	return n * (1 + f.bar())
}

// bar is how wide a speed is.
func (f *flow) bar() int {
	if f.speed && f.speeds {
		return 1
	}
	return 0
}

// cell draws the CPUs from one index to another: each, or as one cell.
func (f *flow) cell(from, to int) {
	if f.cores > 0 {
		f.queue(from, to)
		return
	}
	for i := from; i < to; i++ {
		if f.ids {
			if i > from {
				f.x++
			}
			f.number(f.setup.CPUs[i].CPU)
		}
		f.queue(i, i+1)
		if f.bar() > 0 {
			f.pace(i)
		}
	}
}

// number draws the number of a CPU.
func (f *flow) number(cpu int) {
	var b [20]byte
	text := strconv.AppendInt(b[:0], int64(cpu), 10)
	f.x += f.digits - len(text)
	for _, digit := range text {
		f.set(rune(digit), dim)
	}
	f.set(':', dim)
}

// slowBelow is the speed of a CPU that is worth less than the fastest.
const slowBelow = 1024 * 7 / 8

// queue draws the longest queue of some CPUs.
func (f *flow) queue(from, to int) {
	longest, out, style := uint32(0), true, Ink(0)
	for i := from; i < to; i++ {
		p := f.setup.CPUs[i]
		longest = max(longest, f.state.Queue[i])
		out = out && p.LeftOut
		if f.speeds && f.state.Speed[i] > 0 && f.state.Speed[i] < slowBelow {
			style |= under
		}
		if d := f.marked; d != nil && (int(d.From) == p.CPU || int(d.To) == p.CPU) {
			style |= reverse
		}
	}
	const digits = ".123456789+"
	text := digits[min(longest, uint32(len(digits)-1))]
	switch {
	case out:
		text, style = '-', style|dim
	case longest == 0:
		style |= grey
	case longest == 1:
		style |= green
	case longest == 2:
		style |= amber
	default:
		style |= red | bold
	}
	f.set(rune(text), style)
}

// pace draws the speed of a CPU.
func (f *flow) pace(i int) {
	speed, bars := f.state.Speed[i], f.Style.bars()
	if speed == 0 {
		f.set('?', grey)
		return
	}
	f.set(bars[min(int(speed)*len(bars)/1024, len(bars)-1)], blue)
}
