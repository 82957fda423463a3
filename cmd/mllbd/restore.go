// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"

	"mllb/affinity"
	"mllb/scx"
)

// run undoes what a killed mllbd left. Nothing to undo is success; anything
// that is left, or whose fate is not known, is failure.
func (c *restoreCmd) run(stdout io.Writer) error {
	cfg := affinity.Config{Root: c.Root, StateDir: c.StateDir}
	if marks, err := openMarks(&cfg); err == nil {
		defer marks.Close()
	}
	report, err := affinity.Restore(cfg)
	for _, note := range report.Lines() {
		fmt.Fprintln(stdout, note)
	}
	if err == nil || errors.Is(err, affinity.ErrDamaged) {
		fmt.Fprintln(stdout, report)
	}
	if c.Root == "/" {
		back, left, extErr := scx.Restore(c.StateDir)
		if back > 0 {
			fmt.Fprintf(stdout, "%d threads put back from SCHED_EXT\n", back)
		}
		if left > 0 {
			extErr = errors.Join(extErr, fmt.Errorf("threads left in SCHED_EXT: %d; try again", left))
		}
		err = errors.Join(err, extErr)
	}
	if report.Failed > 0 {
		err = errors.Join(fmt.Errorf("masks left: %d; the journal stays, try again", report.Failed), err)
	}
	if err == nil && c.ConfigErr != nil {
		err = fmt.Errorf("%w; what %s says is undone", c.ConfigErr, c.StateDir)
	}
	return err
}
