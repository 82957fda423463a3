// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"mllb/internal/procfile"
)

// checkSchedExt refuses to balance beside a sched_ext scheduler: it places
// threads itself, and would fight every hold.
func (c *runCmd) checkSchedExt() error {
	if c.Mode == "observe" {
		return nil
	}
	ops, err := c.schedExt()
	if err != nil {
		return err
	}
	if ops != "" {
		return fmt.Errorf("the sched_ext scheduler %s is loaded and places threads itself; --mode %s would fight it: unload it, or use --mode observe",
			ops, c.Mode)
	}
	return nil
}

// schedExt names the sched_ext scheduler that is loaded, or on its way in or
// out; "" if there is none.
func (c *runCmd) schedExt() (string, error) {
	state, ops, err := procfile.SchedExt(c.Root)
	if err != nil || ops == "" {
		return "", err
	}
	return fmt.Sprintf("%q (%s)", ops, state), nil
}

func readLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
