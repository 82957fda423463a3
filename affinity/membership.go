// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"mllb/internal/cgroup"
	"mllb/topology"
)

// memberships reads the cgroups of a thread. They are valid until the next read.
func (l *linux) memberships(tgid, tid int32) ([]cgroup.Membership, error) {
	path := filepath.Join(l.root, "proc", strconv.Itoa(int(tgid)), "task", strconv.Itoa(int(tid)), "cgroup")
	text, err := l.read(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, l.gone(tid, err))
	}
	all, err := cgroup.ParseMemberships(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}

// InCgroup compares inodes, which is what a snapshot knows of a cgroup.
func (l *linux) InCgroup(tgid, tid int32, inode uint64) (bool, error) {
	all, err := l.memberships(tgid, tid)
	if err != nil {
		return false, err
	}
	for i := range l.mounts {
		dir := l.mounts[i].DirOf(all)
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

// Widest: cpuset_cpus_allowed() gives all possible CPUs in the root cpuset and
// the online ones of the cpuset elsewhere (kernel/cgroup/cpuset.c, 6.12). In
// v2 the cpuset is the closest cgroup above that has the controller.
func (l *linux) Widest(tgid, tid int32) (topology.CPUSet, error) {
	if len(l.mounts) == 0 {
		return l.possible, nil // without CONFIG_CGROUPS there is no file to read
	}
	all, err := l.memberships(tgid, tid)
	if err != nil {
		return nil, err
	}
	set, err := cgroup.CPUs(l.mounts, all)
	if err != nil {
		return nil, fmt.Errorf("read the cpuset of thread %d: %w", tid, err)
	}
	if set != nil {
		return set, nil
	}
	return l.possible, nil
}
