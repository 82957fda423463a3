// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// moved are the commands that mllb has now.
var moved = map[string]bool{"collect": true, "latency": true}

// runMoved runs a command that has moved: by the mllb beside this program, or else by
// the one in PATH. It returns only if there is none.
func runMoved(args []string) error {
	now := fmt.Sprintf("%s is a command of mllb now: run mllb %s", args[0], args[0])
	path, err := sibling("mllb")
	if err != nil {
		return &exitError{exitUsage, errors.New(now)}
	}
	fmt.Fprintln(os.Stderr, "mllbd: warning:", now)
	return fmt.Errorf("start %s: %w", path, unix.Exec(path, append([]string{"mllb"}, args...), os.Environ()))
}

func sibling(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return exec.LookPath(name)
}
