// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"mllb/internal/denial"
)

type checkCmd struct {
	common
	Require []string `help:"Exit with status ${exit_required} if one of these is a no: ${verdicts}." enum:"${verdicts}" placeholder:"NAME"`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// Help documents what flags cannot.
func (checkCmd) Help() string {
	return `Prints first whether each thing that mllbd and mllb can do works for this user on this host: yes, or no with
the reason and what would change it. Then follows what was tried. Nothing is changed.

` + exitHelp("check")
}

// checked is what check found.
type checked struct {
	Verdicts []verdict `json:"verdicts"`
	Details  probed    `json:"details"`
}

// run tries everything and answers. A no is an error only if it was required to be
// a yes, or if not even observe works.
func (c *checkCmd) run(stdout io.Writer) error {
	found := checked{Details: c.probes()}
	for i := range found.Details {
		found.Details[i].try(c.Root)
	}
	found.Verdicts = found.Details.judge()
	if err := c.print(stdout, &found); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return c.demand(found.Verdicts)
}

// demand holds the answers against --require.
func (c *checkCmd) demand(verdicts []verdict) error {
	for _, v := range verdicts {
		switch {
		case v.OK:
		case slices.Contains(c.Require, v.Name):
			return &exitError{exitRequired, fmt.Errorf("--require %s: no: %s", v.Name, v.Reason)}
		case v.Name == "observe":
			return fmt.Errorf("observe: no: %s", v.Reason)
		}
	}
	return nil
}

func (c *checkCmd) print(w io.Writer, found *checked) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(found)
	}
	var b strings.Builder
	for i := range found.Verdicts {
		found.Verdicts[i].draw(&b)
	}
	b.WriteString("\ndetails:\n")
	for i := range found.Details {
		found.Details[i].draw(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The columns of the names, of verdicts and of probes.
const (
	verdictColumn = len("yes  observe  ")
	probeColumn   = len("yes  decisions-fentry  ")
)

func (v *verdict) draw(b *strings.Builder) {
	if v.OK {
		line(b, v.OK, v.Name, verdictColumn, sentence(v.What, v.Note, "; "))
		return
	}
	line(b, v.OK, v.Name, verdictColumn, v.Reason)
	if v.Change != "" {
		wrap(b, verdictColumn, verdictColumn, "to change that: "+v.Change)
	}
}

func (p *probe) draw(b *strings.Builder) {
	note := p.Note
	if reason, _, ok := denial.Explain(p.err); ok {
		note = reason
	} else if !p.OK {
		note += " (needs " + p.Needs + ")"
	}
	line(b, p.OK, p.Name, probeColumn, sentence(p.What, note, ": "))
}

// sentence joins what is there.
func sentence(what, note, by string) string {
	if note == "" {
		return what
	}
	return what + by + note
}

// line writes an answer, a name and a text.
func line(b *strings.Builder, ok bool, name string, column int, text string) {
	answer := "no"
	if ok {
		answer = "yes"
	}
	fmt.Fprintf(b, "%-3s  %-*s", answer, column-len("yes  "), name)
	wrap(b, 0, column, text)
}

// maxColumns is how wide check prints.
const maxColumns = 100

// wrap writes so many spaces and a text that has the lines from a column on. A word
// that is too long for a line has one of its own.
func wrap(b *strings.Builder, spaces, column int, text string) {
	b.WriteString(strings.Repeat(" ", spaces))
	at := column
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > maxColumns:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteByte('\n')
}

// oneLine is an error as one line: the verifier's log has thousands.
func oneLine(err error) string {
	first, rest, more := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if more && rest != "" {
		return first + " ..."
	}
	return first
}
