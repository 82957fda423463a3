// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"strings"
	"unicode/utf8"
)

// block is a rectangle of text, line by line. Its lines may differ in width;
// whoever puts something beside them pads them.
type block []string

// columnGap is the number of blanks between two boxes side by side.
const columnGap = 2

func (b block) width() int {
	w := 0
	for _, line := range b {
		w = max(w, utf8.RuneCountInString(line))
	}
	return w
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// clip shortens s to width and shows that it did.
func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:max(0, width-1)]) + "…"
	}
	return s
}

// box frames b, which may be up to width wide, and puts a title into the frame.
func box(title string, b block, width int) block {
	title = clip(title, width)
	out := block{"┌ " + title + " " + strings.Repeat("─", width-utf8.RuneCountInString(title)) + "┐"}
	for _, line := range b {
		out = append(out, "│ "+pad(line, width)+" │")
	}
	return append(out, "└"+strings.Repeat("─", width+2)+"┘")
}

// frame is what box adds to a block's width.
const frame = 4

// fit says how many of n things, each at least want wide, to put side by side
// into width so that the rows are as even as may be, and how wide each can be.
func fit(n, width, want, gap int) (perRow, each int) {
	perRow = min(max((width+gap)/(want+gap), 1), n)
	rows := (n + perRow - 1) / perRow
	perRow = (n + rows - 1) / rows
	return perRow, (width - gap*(perRow-1)) / perRow
}

// titled is a block that is to be framed.
type titled struct {
	title string
	body  block
}

// grid frames n things, all as wide as the widest needs, and sets them in rows
// within width. body is called with the width that its thing may have, which
// is want or more where width allows.
func grid(n, width, want int, body func(i, width int) titled) block {
	perRow, each := fit(n, width, want+frame, columnGap)
	things := make([]titled, n)
	inner := 0
	for i := range things {
		things[i] = body(i, each-frame)
		inner = max(inner, things[i].body.width(), utf8.RuneCountInString(things[i].title))
	}
	inner = max(min(inner, each-frame), 1)
	var out block
	for i := 0; i < n; i += perRow {
		var row block
		for _, t := range things[i:min(i+perRow, n)] {
			row = beside(row, box(t.title, t.body, inner))
		}
		out = append(out, row...)
	}
	return out
}

// beside puts b to the right of a.
func beside(a, b block) block {
	if len(a) == 0 {
		return b
	}
	w := a.width()
	var out block
	for i := range max(len(a), len(b)) {
		var left, right string
		if i < len(a) {
			left = a[i]
		}
		if i < len(b) {
			right = b[i]
		}
		out = append(out, strings.TrimRight(pad(left, w+columnGap)+right, " "))
	}
	return out
}

// wrap breaks text after commas and blanks so that lines are within width,
// as far as there are any.
func wrap(text string, width int) block {
	var out block
	line := ""
	for text != "" {
		end := strings.IndexAny(text, " ,") + 1
		if end == 0 {
			end = len(text)
		}
		if line != "" && utf8.RuneCountInString(strings.TrimRight(line+text[:end], " ")) > width {
			out = append(out, strings.TrimRight(line, " "))
			line = ""
		}
		line += text[:end]
		text = text[end:]
	}
	return append(out, strings.TrimRight(line, " "))
}
