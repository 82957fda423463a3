// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// runconf is a run configuration of PARSEC, pkgs/GROUP/NAME/parsec/SIZE.runconf:
// a piece of shell that sets run_exec and run_args and exports variables. More
// shell than that is refused, not guessed at.
type runconf struct {
	exec string   // the program, below its installation
	args []string // its arguments
	env  []string // what is exported, "KEY=value"
}

var (
	assignment = regexp.MustCompile(`^(export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"]*)"|'([^']*)'|([^\s"']*))\s*(?:#.*)?$`)
	reference  = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))`)
)

// parseRunconf reads a run configuration, given the variables that parsecmgmt
// would have set.
func parseRunconf(r io.Reader, vars map[string]string) (runconf, error) {
	set := make(map[string]string)
	for k, v := range vars {
		set[k] = v
	}
	var c runconf
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil {
			return runconf{}, fmt.Errorf("line %d: %q is not a variable's assignment", n, line)
		}
		value, err := m[4], error(nil)
		if m[4] == "" {
			value, err = expand(m[3]+m[5], set)
		}
		if err != nil {
			return runconf{}, fmt.Errorf("line %d: %w", n, err)
		}
		set[m[2]] = value
		if m[1] != "" {
			c.env = append(c.env, m[2]+"="+value)
		}
	}
	if err := lines.Err(); err != nil {
		return runconf{}, err
	}
	if c.exec = set["run_exec"]; c.exec == "" {
		return runconf{}, fmt.Errorf("it sets no run_exec")
	}
	// parsecmgmt has a shell read them once more (its eval of the command).
	if i := strings.IndexAny(set["run_args"], "\"'`\\$;&|<>*?()[]{}~#\n"); i >= 0 {
		return runconf{}, fmt.Errorf("run_args %q: %q is for a shell", set["run_args"], set["run_args"][i])
	}
	c.args = strings.Fields(set["run_args"])
	return c, nil
}

// expand puts the values of variables in.
func expand(text string, vars map[string]string) (string, error) {
	var unset string
	value := reference.ReplaceAllStringFunc(text, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		v, ok := vars[m[1]+m[2]]
		if !ok && unset == "" {
			unset = ref
		}
		return v
	})
	switch {
	case unset != "":
		return "", fmt.Errorf("%s is not set", unset)
	case strings.ContainsAny(reference.ReplaceAllString(text, ""), "$`"):
		return "", fmt.Errorf("%q is for a shell", text)
	}
	return value, nil
}
