// SPDX-License-Identifier: Apache-2.0

// Package manual writes the manual pages of a program from its command line, as
// kong knows it: what --help says, in man(7).
package manual

import (
	"fmt"

	"github.com/alecthomas/kong"

	"mllb/internal/version"
)

// Flag prints all pages of a program, each after a line `.\" page NAME.SECTION`.
// The variable "man_section" is the section, 1 by default.
type Flag bool

// BeforeReset is called by kong before anything else of the command line counts.
func (Flag) BeforeReset(app *kong.Kong, vars kong.Vars) error {
	b := &book{name: app.Model.Name, section: "1", version: version.Read()}
	if s, ok := vars["man_section"]; ok {
		b.section = s
	}
	_, err := fmt.Fprint(app.Stdout, b.pages(app.Model))
	app.Exit(0)
	return err
}

// Texts adds to the help of commands, by their path without the program's name, what
// no flag says. A page has a section for each paragraph that begins with one of the
// headings below.
func Texts(texts map[string]string) kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		left := len(texts)
		err := kong.Visit(k.Model, func(v kong.Visitable, next kong.Next) error {
			node := nodeOf(v)
			if node == nil {
				return next(nil)
			}
			if text, ok := texts[path(node)]; ok {
				left--
				if node.Detail != "" {
					node.Detail += "\n\n"
				}
				node.Detail += text
			}
			return next(nil)
		})
		if err == nil && left > 0 {
			return fmt.Errorf("manual: %d texts are for no command", left)
		}
		return err
	})
}

func nodeOf(v kong.Visitable) *kong.Node {
	switch n := v.(type) {
	case *kong.Application:
		return n.Node
	case *kong.Node:
		return n
	}
	return nil
}

// path is what is typed after the program's name.
func path(n *kong.Node) string {
	if n.Parent == nil {
		return ""
	}
	if above := path(n.Parent); above != "" {
		return above + " " + n.Name
	}
	return n.Name
}
