// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// Exit codes, as sh(1) has them. With CMD they are those of timeout(1): CMD's
// own, or 125, or what argv.ExitCode says of a CMD that could not be started.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitRequired = 3   // check --require
	exitInternal = 125 // mllbd failed, not CMD
)

// exitCodes documents them, by command.
var exitCodes = []struct {
	command, code, meaning string
}{
	{"run", "0", "the run ended as it was asked to"},
	{"run", "1", "mllbd failed, left masks, or could do nothing at all: no thread was\nmanaged, or every hold was refused"},
	{"run", "2", "the command line or the configuration is wrong"},
	{withCMD, "N", "CMD's own; if a signal ended CMD, mllbd ends by the same one, which\nshells show as 128+N"},
	{withCMD, "125", "mllbd itself failed: before CMD was started, or masks are left or\nevery hold was refused and CMD ended with 0"},
	{withCMD, "126", "CMD was found but cannot be executed"},
	{withCMD, "127", "CMD was not found"},
	{"restore", "0", "nothing is left to undo"},
	{"restore", "1", "masks are left, or may be: the journal is damaged, refused, or of another\npid or time namespace; it is kept, and the message names the file. Or\nthe configuration is wrong: the journal in the known --state-dir is obeyed all the same"},
	{"restore", "2", "the command line is wrong"},
	{"check", "0", "the answers are printed, and what --require names is a yes"},
	{"check", "1", "not even observe works, or the answers cannot be printed"},
	{"check", "2", "the command line is wrong"},
	{"check", "3", "something that --require names is a no"},
}

// withCMD is mllbd run with a command.
const withCMD = "run -- CMD"

// exitHelp lists the codes of commands for their help.
func exitHelp(commands ...string) string {
	var b strings.Builder
	for i, command := range commands {
		if i > 0 {
			b.WriteByte('\n')
		}
		head := "Exit status"
		if len(commands) > 1 {
			head += " of " + command
		}
		fmt.Fprintf(&b, "%s:\n", head)
		for _, c := range exitCodes {
			if c.command == command {
				fmt.Fprintf(&b, "  %-4s %s\n", c.code, strings.ReplaceAll(c.meaning, "\n", "\n       "))
			}
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Help is that of mllbd as a whole.
func (cli) Help() string {
	return "Exit status: 0, or 1 for a failure and 2 for a wrong command line. The help of each command has the rest."
}
