// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Dir is one cgroup.
type Dir struct {
	Path        string   // its directory, absolute
	Mount       string   // the mount point that Path lies below
	Hierarchy   int      // 0: v2; else the v1 hierarchy id
	Controllers []string // of a v1 hierarchy
	Name        string   // of a v1 named hierarchy
}

// ErrNotFound says that no mounted hierarchy has a cgroup of that name.
var ErrNotFound = errors.New("no such directory in any mounted hierarchy")

// Find returns the cgroup that a person calls path, on the host at root ("/",
// or a fixture). path is the directory itself (/sys/fs/cgroup/cpuset/foo), the
// name that /proc/PID/cgroup shows (/foo), or relative to a mount (foo). If
// several hierarchies have such a cgroup, v2 wins, then the v1 hierarchy with
// cpuset, then the first in mount order; the full directory is never ambiguous.
//
// The error wraps ErrNotFound and names where it was looked for; it is one line.
func Find(root, path string) (Dir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Dir{}, fmt.Errorf("cgroup %q: %w", path, err)
	}
	mounts, points, err := readMounts(root)
	if err != nil {
		return Dir{}, fmt.Errorf("cgroup %q: %w", path, err)
	}
	if len(mounts) == 0 {
		return Dir{}, fmt.Errorf("cgroup %q: %w", path, ErrNotMounted)
	}
	if path != "" {
		if d, ok := findAbsolute(root, path, mounts, points); ok {
			return d, nil
		}
		if d, ok := findRelative(path, mounts); ok {
			return d, nil
		}
	}
	return Dir{}, fmt.Errorf("cgroup %q: %w (looked in %s)", path, ErrNotFound, pointList(mounts))
}

// FindOrExpect is Find, but takes a cgroup that is not there yet if path is its
// full directory: of any other name nobody could say where it will be.
func FindOrExpect(root, path string) (Dir, error) {
	d, err := Find(root, path)
	if !errors.Is(err, ErrNotFound) || !filepath.IsAbs(path) {
		return d, err
	}
	root, err2 := filepath.Abs(root)
	mounts, points, err3 := readMounts(root)
	if err2 != nil || err3 != nil {
		return d, err
	}
	// Links may be on the way to it: systemd links cpu to cpu,cpuacct.
	above, rest := filepath.Dir(filepath.Join(root, path)), filepath.Base(path)
	for ; above != root; above, rest = filepath.Dir(above), filepath.Join(filepath.Base(above), rest) {
		real, linkErr := filepath.EvalSymlinks(above)
		if linkErr != nil {
			continue
		}
		if m := mountOver(real, mounts, points); m != nil {
			if _, ok := m.open(real); ok {
				return m.dir(filepath.Join(real, rest)), nil
			}
		}
		break
	}
	return d, err
}

// findAbsolute takes path as a directory of the host. Symbolic links are
// followed: systemd links cpu to cpu,cpuacct.
func findAbsolute(root, path string, mounts []Mount, points []string) (Dir, bool) {
	if !filepath.IsAbs(path) {
		return Dir{}, false
	}
	real, err := filepath.EvalSymlinks(filepath.Join(root, path))
	if err != nil {
		return Dir{}, false
	}
	if m := mountOver(real, mounts, points); m != nil {
		return m.open(real)
	}
	return Dir{}, false
}

// mountOver returns the cgroup mount that shows at dir: the last over the
// longest prefix, nil if that is no cgroup hierarchy.
func mountOver(dir string, mounts []Mount, points []string) *Mount {
	under := ""
	for _, p := range points {
		if len(p) >= len(under) && below(dir, p) {
			under = p
		}
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if mounts[i].Point == under {
			return &mounts[i]
		}
	}
	return nil
}

// findRelative takes path as a name within a hierarchy.
func findRelative(path string, mounts []Mount) (Dir, bool) {
	ranked := slices.Clone(mounts)
	slices.SortStableFunc(ranked, func(a, b Mount) int { return a.findRank() - b.findRank() })
	// Cleaned as an absolute name, ".." cannot leave the mount.
	name := filepath.Clean("/" + path)
	for i := range ranked {
		if dir, shown := ranked[i].Dir(name); shown {
			if d, ok := ranked[i].open(dir); ok {
				return d, true
			}
		}
		if d, ok := ranked[i].open(filepath.Join(ranked[i].Point, name)); ok {
			return d, true
		}
	}
	return Dir{}, false
}

func (m *Mount) findRank() int {
	switch {
	case m.Hierarchy == 0:
		return 0
	case slices.Contains(m.Controllers, "cpuset"):
		return 1
	}
	return 2
}

// open returns the cgroup at dir, if it is there and a directory.
func (m *Mount) open(dir string) (Dir, bool) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return Dir{}, false
	}
	return m.dir(dir), true
}

func (m *Mount) dir(path string) Dir {
	return Dir{Path: path, Mount: m.Point, Hierarchy: m.Hierarchy, Controllers: m.Controllers, Name: m.Name}
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

func pointList(mounts []Mount) string {
	var points []string
	for i := range mounts {
		if !slices.Contains(points, mounts[i].Point) {
			points = append(points, mounts[i].Point)
		}
	}
	return strings.Join(points, ", ")
}
