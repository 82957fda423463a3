// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// forceFlag is of commands that write files.
type forceFlag struct {
	Force bool `help:"Overwrite existing files. Without it, an existing file that is not empty is an error."`
}

// checkDir makes a directory for the files of a flag, and says now if they could not be
// written there. No directory is none.
func checkDir(flag, dir string) error {
	if dir == "" {
		return nil
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		if err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			err = &fs.PathError{Op: "write", Path: dir, Err: err}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}
