// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mllb/internal/cgroup"
	"mllb/internal/denial"
	"mllb/scx"
)

func probeCpusetV1(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	for i := range mounts {
		if slices.Contains(mounts[i].Controllers, "cpuset") {
			return mounts[i].Point, writable(mounts[i].Point)
		}
	}
	return "", errAbsent
}

func probeCpusetV2(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	err = &denial.Error{Reason: "no cgroup hierarchy with cpusets is mounted", Change: "mount -t cgroup2 none /sys/fs/cgroup, on a kernel with CONFIG_CPUSETS"}
	for i := range mounts {
		if mounts[i].Hierarchy != 0 {
			continue
		}
		list, rerr := readLine(filepath.Join(mounts[i].Point, "cgroup.controllers"))
		if rerr != nil {
			err = rerr
			continue
		}
		if slices.Contains(strings.Fields(list), "cpuset") {
			return mounts[i].Point, writable(mounts[i].Point)
		}
		err = &denial.Error{Reason: mounts[i].Point + " has no cpuset controller",
			Change: "a kernel with CONFIG_CPUSETS that has no v1 cpuset hierarchy mounted, and +cpuset in cgroup.subtree_control above it"}
	}
	return "", err
}

// writable reports whether groups can be made in a cgroup.
func writable(dir string) error {
	switch err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS); {
	case errors.Is(err, unix.EROFS):
		return &denial.Error{Reason: dir + " is mounted read-only", Change: "mount -o remount,rw " + dir + ", outside of the container if this is one"}
	case err != nil:
		return &denial.Error{Reason: dir + " is not writable", Change: "run it as root", Err: err}
	}
	return nil
}

func probeCgroups(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	if len(mounts) == 0 {
		return "", cgroup.ErrNotMounted
	}
	var parts []string
	for i := range mounts {
		parts = append(parts, fmt.Sprintf("%s (%s)", mounts[i].Point, mounts[i].String()))
	}
	return strings.Join(parts, ", "), nil
}

// The files of package affinity in its state directory.
const (
	lockFile    = "lock"
	journalFile = "journal"
)

// probeAlone looks for another mllbd, which holds the lock.
func (c *checkCmd) probeAlone(string) (string, error) {
	err := locked(c.StateDir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return "", &denial.Error{Reason: "an mllbd is running", Change: "stop it"}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // which state-dir says
		return "", err
	}
	return "", nil
}

// locked returns EWOULDBLOCK while an mllbd has the lock.
func locked(stateDir string) error {
	f, err := os.Open(filepath.Join(stateDir, lockFile))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
}

// probeJournal looks for the journal of a killed mllbd, and leaves it there.
func (c *checkCmd) probeJournal(string) (string, error) {
	if name := journalOf(c.StateDir); name != "" {
		return "", fmt.Errorf("a killed mllbd left its %s in %s", name, c.StateDir)
	}
	return "", nil
}

// journalOf names the file in which an mllbd, alive or killed, says what is to be undone;
// "" if there is none.
func journalOf(stateDir string) string {
	for _, name := range []string{journalFile, scx.NoteFile} {
		if _, err := os.Stat(filepath.Join(stateDir, name)); err == nil {
			return name
		}
	}
	return ""
}

// journalLeft counts what a killed mllbd left for somebody to undo.
func journalLeft(stateDir string) int {
	if stateDir == "" || journalOf(stateDir) == "" || errors.Is(locked(stateDir), unix.EWOULDBLOCK) {
		return 0
	}
	return 1
}

// probeStateDir looks whether the state directory can be written to, or made.
func (c *checkCmd) probeStateDir(string) (string, error) {
	dir := filepath.Clean(c.StateDir)
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	for errors.Is(err, unix.ENOENT) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	}
	if err != nil {
		return "", &denial.Error{Reason: "the state directory " + c.StateDir + " cannot be written", Err: err,
			Change: "run it as root, or choose a directory of your own by --state-dir or MLLBD_STATE_DIR"}
	}
	return c.StateDir, nil
}
