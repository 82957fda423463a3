// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// exitCodes documents what mllb ends with. Those of one command only name it.
var exitCodes = []struct{ command, code, meaning string }{
	{"", "0", "it worked"},
	{"", "1", "it failed; dataset check: there are disagreements that should not be"},
	{"", "2", "the command line is wrong"},
	{"", "130", "a signal ended it; bench, prove, train --sweep, lab record and reproduce can be resumed"},
	{"", "141", "the reader of its output went away"},
	{"collect", "0", "FILE is complete"},
	{"collect", "1", "nothing could be recorded, or FILE is incomplete"},
	{"collect", "2", "the command line is wrong"},
	{"lab run", "N", "the command's own"},
	{"lab run", "123", "the guest's kernel oopsed, panicked or hung in every try"},
	{"lab run", "124", "--timeout expired"},
	{"lab run", "125", "the lab itself failed, as with all commands of lab"},
	{"lab run", "126", "the command cannot be executed in the guest"},
	{"lab run", "127", "the command was not found in the guest"},
	{"lab run", "128+N", "the command was killed by signal N"},
}

// exitHelp lists the codes of a command for its help.
func exitHelp(command string) string {
	var b strings.Builder
	for _, c := range exitCodes {
		if c.command == command {
			fmt.Fprintf(&b, "  %-6s %s\n", c.code, c.meaning)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Help is that of mllb as a whole.
func (cli) Help() string {
	return "Exit status, unless the help of a command has another:\n" + exitHelp("")
}
