// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"strings"
)

// roff is a page that is being written.
type roff struct {
	strings.Builder
	headed bool // a heading was written last, which begins a paragraph
}

// raw writes lines of man(7).
func (w *roff) raw(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
	w.headed = strings.HasPrefix(format, ".SH") || strings.HasPrefix(format, ".SS")
}

// line writes one paragraph that has begun.
func (w *roff) line(text string) {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		text = "See above."
	}
	w.raw("%s", escape(text))
}

// text writes paragraphs. Lines that are indented stay as they are.
func (w *roff) text(text string) {
	for _, p := range paragraphs(text) {
		if !w.headed {
			w.raw(".PP")
		}
		lines := strings.Split(p, "\n")
		for i := 0; i < len(lines); {
			end := i
			for end < len(lines) && indented(lines[end]) {
				end++
			}
			if end == i {
				w.raw("%s", escape(strings.TrimSpace(lines[i])))
				i++
				continue
			}
			w.raw(".RS 2\n.nf")
			margin := len(lines[i])
			for _, l := range lines[i:end] {
				margin = min(margin, len(l)-len(strings.TrimLeft(l, " ")))
			}
			for _, l := range lines[i:end] {
				w.raw("%s", escape(l[margin:]))
			}
			w.raw(".fi\n.RE")
			i = end
		}
	}
}

func paragraphs(text string) (ps []string) {
	for _, p := range strings.Split(text, "\n\n") {
		if p = strings.Trim(p, "\n"); p != "" {
			ps = append(ps, p)
		}
	}
	return ps
}

func indented(line string) bool { return strings.HasPrefix(line, "  ") }

// split takes the sections out of the help of a command. A paragraph that is
// indented belongs to the one before.
func split(detail string) (about string, sections map[string]string) {
	sections = make(map[string]string)
	current := ""
	for _, p := range paragraphs(detail) {
		if !indented(p) {
			current = ""
		}
		for _, h := range headings {
			if strings.HasPrefix(p, h.begins) {
				current = h.section
				p = strings.TrimSpace(strings.TrimPrefix(p, strings.TrimSuffix(h.begins, ":")+":"))
			}
		}
		if current == "" {
			about += "\n\n" + p
		} else {
			sections[current] += "\n\n" + p
		}
	}
	return about, sections
}

// escape makes text of what troff would take for a request or an escape. A "-" that
// is typed must be a minus, not a hyphen.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
