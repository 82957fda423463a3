// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"mllb/internal/version"
)

// headings are the sections that a paragraph of the help may begin, in the order of a
// page, and what the paragraph begins with.
var headings = []struct{ section, begins string }{
	{"EXIT STATUS", "Exit status"},
	{"FILES", "Files:"},
	{"EXAMPLES", "Examples:"},
}

// book is the pages of one program.
type book struct {
	name, section string
	version       version.Info
	root          map[string]string // its sections, for commands without their own
}

// pages has one page for the program, and one for each command or group of commands.
func (b *book) pages(app *kong.Application) string {
	_, b.root = split(app.Detail)
	var all strings.Builder
	all.WriteString(b.page(app.Node))
	for _, n := range app.Children {
		if !n.Hidden {
			all.WriteString(b.page(n))
		}
	}
	return all.String()
}

func (b *book) pageName(n *kong.Node) string {
	return strings.Join(strings.Fields(b.name+" "+path(n)), "-")
}

func (b *book) page(n *kong.Node) string {
	w := &roff{}
	name := b.pageName(n)
	about, sections := split(n.Detail)
	w.raw(`.\" page %s.%s`, name, b.section)
	w.raw(`.TH %s %s "%s" "%s" "mllb"`, escape(strings.ToUpper(name)), b.section, escape(b.version.Date), escape(b.version.Version))
	w.raw(".nh\n.ad l")
	w.raw(".SH NAME\n%s \\- %s", escape(name), escape(strings.TrimSuffix(n.Help, ".")))
	w.raw(".SH SYNOPSIS")
	w.raw(".B %s", escape(b.usage(n)))
	w.raw(".SH DESCRIPTION")
	w.text(n.Help)
	w.text(about)
	b.commands(w, n)
	w.options(true, n)
	environment(w, n)
	for _, h := range headings {
		text, ok := sections[h.section]
		if !ok {
			text, ok = b.root[h.section]
			ok = ok && h.section != "EXAMPLES"
		}
		if ok {
			w.raw(".SH %s", h.section)
			w.text(text)
		}
	}
	b.seeAlso(w, n)
	return w.String()
}

// usage is one line, as of --help.
func (b *book) usage(n *kong.Node) string {
	if n.Parent == nil {
		return b.name + " <command> [flags]"
	}
	return b.name + " " + n.Summary()
}

// commands lists those below a program, and describes those below a group, which
// have no page of their own.
func (b *book) commands(w *roff, n *kong.Node) {
	if len(n.Leaves(true)) == 0 || n.Type == kong.CommandNode && len(n.Children) == 0 {
		return
	}
	w.raw(".SH COMMANDS")
	for _, c := range n.Children {
		switch {
		case c.Hidden:
		case n.Parent == nil:
			w.raw(".TP\n\\fB%s\\fR(%s)", escape(b.pageName(c)), b.section)
			w.line(c.Help)
		default:
			w.raw(".SS %s", escape(b.usage(c)))
			about, sections := split(c.Detail)
			w.text(c.Help)
			w.text(about)
			w.options(false, c)
			for _, h := range headings {
				if text, ok := sections[h.section]; ok {
					w.raw(".PP\n%s:", strings.ToUpper(h.section[:1])+strings.ToLower(h.section[1:]))
					w.text(text)
				}
			}
		}
	}
}

// options describes arguments and flags, under headings or not.
func (w *roff) options(headings bool, n *kong.Node) {
	if len(n.Positional) > 0 && headings {
		w.raw(".SH ARGUMENTS")
	}
	for _, a := range n.Positional {
		w.raw(".TP\n\\fI%s\\fR", escape(a.Summary()))
		w.line(a.Help)
	}
	headed := !headings
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		if !headed {
			w.raw(".SH OPTIONS")
			headed = true
		}
		w.raw(".TP\n%s", flagName(f))
		w.line(f.Help + defaultOf(f))
	}
}

func flagName(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Tag.Negatable != "" {
		name = "--[no-]" + f.Name
	}
	name = `\fB` + escape(name) + `\fR`
	if f.Short != 0 {
		name = `\fB\-` + string(f.Short) + `\fR, ` + name
	}
	if v := valueOf(f); v != "" {
		name += `=\fI` + escape(v) + `\fR`
	}
	return name
}

// valueOf names the value that a flag takes, "" if none.
func valueOf(f *kong.Flag) string {
	switch {
	case f.IsBool() || f.IsCounter():
		return ""
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Enum != "":
		return strings.Join(strings.FieldsFunc(f.Enum, func(r rune) bool { return r == ',' || r == ' ' }), "|")
	case f.Target.Type() == reflect.TypeFor[time.Duration]():
		return "DURATION"
	case f.Target.Type().PkgPath() == "" && (f.Target.CanInt() || f.Target.CanUint() || f.Target.CanFloat()):
		return "N"
	}
	return strings.ToUpper(f.Name)
}

// defaultOf is a sentence, where the help does not say it and there is one to say.
func defaultOf(f *kong.Flag) string {
	if !f.HasDefault || f.IsBool() || strings.Contains(f.Help, "efault") || strings.Contains(f.Help, "("+f.Default+")") {
		return ""
	}
	switch f.Default {
	case "", "0", "0s":
		return ""
	}
	return " Default: " + f.Default + "."
}

func environment(w *roff, n *kong.Node) {
	for _, f := range n.Flags {
		if len(f.Envs) > 0 && !f.Hidden {
			prefix, _, _ := strings.Cut(f.Envs[0], "_")
			w.raw(".SH ENVIRONMENT")
			w.line(fmt.Sprintf("Each option but --help can also be set by a variable: %s_ and its name in capitals, such as %s for --%s. An option of the command line comes first.", prefix, f.Envs[0], f.Name))
			return
		}
	}
}

func (b *book) seeAlso(w *roff, n *kong.Node) {
	var others []string
	if n.Parent != nil {
		others = append(others, b.name)
	} else {
		for _, c := range n.Children {
			if !c.Hidden {
				others = append(others, b.pageName(c))
			}
		}
	}
	if len(others) == 0 {
		return
	}
	w.raw(".SH SEE ALSO")
	for i, o := range others {
		comma := ","
		if i == len(others)-1 {
			comma = ""
		}
		w.raw(`.BR %s (%s)%s`, escape(o), b.section, comma)
	}
}
