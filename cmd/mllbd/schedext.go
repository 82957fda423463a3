// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// schedExt returns the state that sched_ext is in ("" on a kernel without it)
// and the name of the scheduler that is loaded ("" if none). Files:
// Documentation/scheduler/sched-ext.rst, 6.12.
func schedExt(root string) (state, ops string, err error) {
	dir := filepath.Join(root, "sys/kernel/sched_ext")
	state, err = readLine(filepath.Join(dir, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the state of sched_ext: %w", err)
	}
	if state == "disabled" {
		return state, "", nil
	}
	ops, err = readLine(filepath.Join(dir, "root/ops"))
	if err != nil { // it may be on its way in or out
		ops = "unknown"
	}
	return state, ops, nil
}

// checkSchedExt refuses to balance beside a sched_ext scheduler: it places
// threads itself, and would fight every hold.
func (c *runCmd) checkSchedExt() error {
	if c.Mode == "observe" {
		return nil
	}
	state, ops, err := schedExt(c.Root)
	if err != nil {
		return err
	}
	if state != "" && state != "disabled" {
		return fmt.Errorf("the sched_ext scheduler %q is loaded (%s) and places threads itself; --mode %s would fight it: unload it, or use --mode observe",
			ops, state, c.Mode)
	}
	return nil
}

func readLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
