// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shares are the files that say what a cgroup gets of the CPUs, of v2 and v1, and the
// first word of each by default (Documentation/admin-guide/cgroup-v2.rst,
// Documentation/scheduler/sched-bwc.rst, 6.12).
var shares = []struct{ name, usual string }{
	{"cpu.weight", "100"},
	{"cpu.max", "max"},
	{"cpu.idle", "0"},
	{"cpu.shares", "1024"},
	{"cpu.cfs_quota_us", "-1"},
}

// Shares says in what way a cgroup gets more or less of the CPUs than others, as in
// "cpu.max 20000 100000"; "" if it does not.
func Shares(dir string) string {
	var unusual []string
	for _, f := range shares {
		text, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			continue // the other version's, or the root's
		}
		value := strings.TrimSpace(string(text))
		if first, _, _ := strings.Cut(value, " "); first != f.usual {
			unusual = append(unusual, f.name+" "+value)
		}
	}
	return strings.Join(unusual, ", ")
}

// UnequalShares are the cgroups at dirs for which Shares says something: their
// directories, each with that.
func UnequalShares(dirs []string) (list []string) {
	for _, dir := range dirs {
		if what := Shares(dir); what != "" {
			list = append(list, dir+": "+what)
		}
	}
	return list
}

// AllWithCPU returns the directories of all cgroups that may have a share of the CPUs,
// at and below dir; "": of the whole host.
func AllWithCPU(root, dir string) (dirs []string, err error) {
	tops := []string{dir}
	if dir == "" {
		mounts, err := Mounts(root)
		if err != nil {
			return nil, err
		}
		tops = nil
		for i := range mounts {
			if m := &mounts[i]; m.Hierarchy == 0 || slices.Contains(m.Controllers, "cpu") {
				tops = append(tops, m.Point)
			}
		}
	}
	for _, top := range tops {
		// What is gone by now, or may not be read, has no share that is known.
		_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	return dirs, nil
}
