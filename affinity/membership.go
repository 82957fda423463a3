// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mllb/cgroup"
	"mllb/topology"
)

// membership is one line of /proc/PID/cgroup (cgroups(7)).
type membership struct {
	hierarchy   int      // 0: v2
	controllers []string // of a v1 hierarchy
	path        string
}

func parseMemberships(text string) ([]membership, error) {
	var all []membership
	for line := range strings.Lines(text) {
		id, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		n, err := strconv.Atoi(id)
		if !ok || !ok2 || err != nil || n < 0 || !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("cgroup membership %.80q: want ID:CONTROLLERS:/PATH", line)
		}
		m := membership{hierarchy: n, path: path}
		if controllers != "" {
			m.controllers = strings.Split(controllers, ",")
		}
		all = append(all, m)
	}
	return all, nil
}

// memberships reads the cgroups of a thread.
func (l *linux) memberships(tgid, tid int32) ([]membership, error) {
	path := filepath.Join(l.root, "proc", strconv.Itoa(int(tgid)), "task", strconv.Itoa(int(tid)), "cgroup")
	text, err := l.read(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, gone(err))
	}
	all, err := parseMemberships(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}

// dir returns the directory of the thread's cgroup in the hierarchy of a
// mount, "" if that mount does not show it.
func (l *linux) dir(m *cgroup.Mount, all []membership) string {
	for _, c := range all {
		if c.hierarchy != m.Hierarchy {
			continue
		}
		if d, ok := m.Dir(c.path); ok {
			return d
		}
	}
	return ""
}

// InCgroup compares inodes, which is what a snapshot knows of a cgroup.
func (l *linux) InCgroup(tgid, tid int32, inode uint64) (bool, error) {
	all, err := l.memberships(tgid, tid)
	if err != nil {
		return false, err
	}
	for i := range l.mounts {
		dir := l.dir(&l.mounts[i], all)
		if dir == "" {
			continue
		}
		info, err := os.Stat(dir)
		if err != nil {
			continue // another mount may still show it
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == inode {
			return true, nil
		}
	}
	return false, nil
}

// effective are the names of the file that holds a cpuset's CPUs that are
// online: v2, v1, and v1 mounted with noprefix.
var effective = []string{"cpuset.cpus.effective", "cpuset.effective_cpus", "effective_cpus"}

// Widest: cpuset_cpus_allowed() gives all possible CPUs in the root cpuset and
// the online ones of the cpuset elsewhere (kernel/cgroup/cpuset.c, 6.12). In
// v2 the cpuset is the closest cgroup above that has the controller.
func (l *linux) Widest(tgid, tid int32) (topology.CPUSet, error) {
	all, err := l.memberships(tgid, tid)
	if err != nil {
		return nil, err
	}
	m := l.cpusetMount(all)
	if m == nil {
		return l.possible, nil
	}
	for dir := l.dir(m, all); len(dir) > len(m.Point); dir = filepath.Dir(dir) {
		for _, name := range effective {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read the cpuset of thread %d: %w", tid, err)
			}
			return topology.ParseCPUList(string(text))
		}
	}
	return l.possible, nil
}

// cpusetMount returns the mount of the hierarchy that has the cpuset
// controller: the v1 one that names it, or v2; nil if it is not mounted.
func (l *linux) cpusetMount(all []membership) *cgroup.Mount {
	hierarchy := 0
	for _, c := range all {
		if slices.Contains(c.controllers, "cpuset") {
			hierarchy = c.hierarchy
		}
	}
	for i := range l.mounts {
		if l.mounts[i].Hierarchy == hierarchy {
			return &l.mounts[i]
		}
	}
	return nil
}
