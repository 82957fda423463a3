// SPDX-License-Identifier: Apache-2.0

package argv

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kong"
)

// HelpCmd is `help [COMMAND]`. It is for the list of commands: Help makes COMMAND
// --help of it before anything is parsed.
type HelpCmd struct {
	Command []string `arg:"" optional:"" name:"command" help:"The command."`
}

// Help makes --help of the command help.
func Help(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(append([]string{}, args[1:]...), "--help")
}

// See adds where the help is to what is wrong with a command line: that of the
// subcommand that was given, if any.
func See(program string, err error) error {
	var parse *kong.ParseError
	var selected *kong.Node
	if errors.As(err, &parse) && parse.Context != nil {
		selected = parse.Context.Selected()
	}
	return SeeCommand(program, selected, err)
}

// SeeCommand is See for a command line that was parsed.
func SeeCommand(program string, selected *kong.Node, err error) error {
	if selected != nil && !selected.Hidden {
		program += " " + selected.Path()
	}
	return fmt.Errorf("%w (see: %s --help)", err, program)
}
