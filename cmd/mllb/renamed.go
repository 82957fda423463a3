// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// renamed gives commands their names of today. `mllb load` became `mllb
// workload`, a name that `mllb stress` had until then: without --work, which
// stress never had and workload always needs, it is stress that was meant.
func renamed(args []string, stderr io.Writer) ([]string, error) {
	has := func(flags ...string) bool {
		return slices.ContainsFunc(args, func(arg string) bool {
			name, _, _ := strings.Cut(arg, "=")
			return slices.Contains(flags, name)
		})
	}
	switch {
	case args[0] == "load":
		warnRenamed(stderr, "load", "workload")
		args = append([]string{"workload"}, args[1:]...)
	case args[0] == "workload" && !has("--work", "--help", "-h"):
		return nil, usagef("workload: --work is required; load without end, which had this name before, is mllb stress")
	}
	return args, nil
}

// warnRenamed says that an old name still works.
func warnRenamed(stderr io.Writer, old, now string) {
	fmt.Fprintf(stderr, "mllb: warning: %s is now called %s\n", old, now)
}

// warnNeedless says that a flag still works, and that nobody needs it.
func warnNeedless(stderr io.Writer, what, why string) {
	fmt.Fprintf(stderr, "mllb: warning: %s is no longer needed: %s\n", what, why)
}
