// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"mllb/affinity"
)

// run undoes what a killed mllbd left. Nothing to undo is success.
func (c *restoreCmd) run(stdout io.Writer) error {
	report, err := affinity.Restore(affinity.Config{Root: c.Root, StateDir: c.StateDir})
	for _, note := range report.Notes {
		fmt.Fprintln(stdout, note)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, report)
	if report.Failed > 0 {
		return fmt.Errorf("%d masks could not be restored", report.Failed)
	}
	return nil
}
