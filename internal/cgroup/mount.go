// SPDX-License-Identifier: Apache-2.0

// Package cgroup finds cgroup directories in whatever hierarchies a host has
// mounted, v1, v2 or both, and lists what lies below them. It only reads.
package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNotMounted says that a host has no cgroup hierarchy mounted.
var ErrNotMounted = errors.New("no cgroup hierarchy is mounted")

// Mount is one mounted cgroup hierarchy. A hierarchy may be mounted several
// times, and partly: then Root is not "/".
type Mount struct {
	Point       string   // where, as this process opens it: below the root that was given
	Root        string   // the cgroup at Point, as /proc/PID/cgroup names it; "/" for a whole hierarchy
	Hierarchy   int      // 0: v2; else the v1 hierarchy id, the first field of /proc/PID/cgroup
	Controllers []string // of a v1 hierarchy: "cpuset", or "cpu" and "cpuacct"; none for v2
	Name        string   // of a v1 named hierarchy, such as "systemd"
}

// Mounts returns the cgroup mounts of the host at root ("/", or a fixture), in
// mount order. A host without any is not an error.
//
// containerd/cgroups has cgroups.Mode for this, but of the running host only,
// and it sees a v2 hierarchy beside v1 ones in one fixed place only.
func Mounts(root string) ([]Mount, error) {
	all, _, err := readMounts(root)
	return all, err
}

// readMounts also returns every mount point of the host, of any file system.
func readMounts(root string) (cgroups []Mount, points []string, err error) {
	mounts, err := readMountInfo(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, nil, fmt.Errorf("find cgroup mounts: %w", err)
	}
	self, err := readSelf(root)
	if err != nil {
		return nil, nil, fmt.Errorf("find cgroup hierarchies: %w", err)
	}
	for _, m := range mounts {
		point := filepath.Join(root, m.point)
		points = append(points, point)
		c := Mount{Point: point, Root: m.root}
		switch m.fsType {
		case "cgroup2":
			cgroups = append(cgroups, c)
		case "cgroup":
			// A v1 mount whose hierarchy this process is not in cannot
			// exist: every process is in every mounted hierarchy.
			if c.identify(strings.Split(m.options, ","), self) {
				cgroups = append(cgroups, c)
			}
		}
	}
	return cgroups, points, nil
}

// identify finds the v1 hierarchy that has the mount's controllers.
func (m *Mount) identify(options []string, self []Membership) bool {
	for i := range self {
		controllers := self[i].controllers()
		if len(controllers) == 0 || slices.ContainsFunc(controllers, func(c string) bool { return !slices.Contains(options, c) }) {
			continue
		}
		m.Hierarchy = self[i].Hierarchy
		for _, c := range controllers {
			if name, named := strings.CutPrefix(c, "name="); named {
				m.Name = name
			} else {
				m.Controllers = append(m.Controllers, c)
			}
		}
		return true
	}
	return false
}

// String names the hierarchy as messages do.
func (m *Mount) String() string {
	switch {
	case m.Hierarchy == 0:
		return "v2"
	case m.Name != "":
		return "v1 name=" + m.Name
	}
	return "v1 " + strings.Join(m.Controllers, ",")
}

// Dir returns the directory of the cgroup that /proc/PID/cgroup calls path,
// and whether this mount shows it.
func (m *Mount) Dir(path string) (string, bool) {
	if m.Root == "/" {
		return filepath.Join(m.Point, path), strings.HasPrefix(path, "/") && !climbs(path)
	}
	rest, ok := strings.CutPrefix(path, m.Root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return filepath.Join(m.Point, rest), !climbs(rest)
}

// climbs reports whether path leaves the cgroup namespace: the kernel writes
// "/../x" for a cgroup outside the reader's (cgroup_namespaces(7)).
func climbs(path string) bool {
	return path == "/.." || strings.HasPrefix(path, "/../")
}

// DefaultHierarchy returns the hierarchy in which threads are told apart when
// nobody names one: cpuset where it is a v1 hierarchy, because that is where
// CPUs are given out; else v2; else the first v1 hierarchy that is mounted.
// The error is ErrNotMounted where there is none.
func DefaultHierarchy(root string) (int, error) {
	mounts, err := Mounts(root)
	if err != nil {
		return 0, err
	}
	if len(mounts) == 0 {
		return 0, ErrNotMounted
	}
	best := &mounts[0]
	for i := range mounts {
		if m := &mounts[i]; m.defaultRank() < best.defaultRank() {
			best = m
		}
	}
	return best.Hierarchy, nil
}

func (m *Mount) defaultRank() int {
	switch {
	case slices.Contains(m.Controllers, "cpuset"):
		return 0
	case m.Hierarchy == 0:
		return 1
	case m.Name == "":
		return 2
	}
	return 3
}
