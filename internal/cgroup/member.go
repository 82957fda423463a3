// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mllb/internal/procfile"
	"mllb/topology"
)

// Membership is one line of /proc/PID/cgroup, "ID:CONTROLLERS:PATH"
// (cgroups(7)): which cgroup of one hierarchy a thread is in.
type Membership struct {
	Hierarchy         int    // 0: v2
	Controllers, Path []byte // alias the text
}

// CutMembership parses the first line of text, which is not empty, and returns
// the rest. It does not allocate.
func CutMembership(text []byte) (m Membership, rest []byte, err error) {
	line, rest, _ := bytes.Cut(text, []byte{'\n'})
	id, tail, ok := bytes.Cut(line, []byte{':'})
	controllers, path, ok2 := bytes.Cut(tail, []byte{':'})
	n, err := procfile.Uint(id, 31)
	if !ok || !ok2 || err != nil || len(path) == 0 || path[0] != '/' {
		return m, rest, fmt.Errorf("%.80q is not \"ID:CONTROLLERS:/PATH\"", line)
	}
	return Membership{int(n), controllers, path}, rest, nil
}

// ParseMemberships parses /proc/PID/cgroup.
func ParseMemberships(text []byte) (all []Membership, err error) {
	for rest := text; len(rest) > 0; {
		var m Membership
		if m, rest, err = CutMembership(rest); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// readSelf reads the cgroups of this process: none of a kernel without
// CONFIG_CGROUPS.
func readSelf(root string) ([]Membership, error) {
	path := filepath.Join(root, "proc/self/cgroup")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := ParseMemberships(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// controllers are those of a v1 hierarchy; its name is one of them, "name=NAME".
func (m *Membership) controllers() []string {
	if m.Hierarchy == 0 {
		return nil
	}
	return strings.Split(string(m.Controllers), ",")
}

// Above returns the cgroup that bounds a thread in what the controller gives
// out, and those above it up to but without the mount point: of the v1 hierarchy
// that has the controller, else of v2. There are none in the root cgroup, and
// where the hierarchy is not mounted.
func Above(mounts []Mount, of []Membership, controller string) (dirs []string) {
	hierarchy := 0
	for i := range of {
		if slices.Contains(of[i].controllers(), controller) {
			hierarchy = of[i].Hierarchy
		}
	}
	for i := range mounts {
		m := &mounts[i]
		if m.Hierarchy != hierarchy {
			continue
		}
		for dir := m.DirOf(of); len(dir) > len(m.Point); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
		return dirs
	}
	return nil
}

// DirOf returns the directory of the thread's cgroup in the hierarchy of the
// mount, "" if the mount does not show it.
func (m *Mount) DirOf(thread []Membership) string {
	for i := range thread {
		if thread[i].Hierarchy == m.Hierarchy {
			if dir, ok := m.Dir(string(thread[i].Path)); ok {
				return dir
			}
		}
	}
	return ""
}

// Own returns what Above does for this process.
func Own(root, controller string) ([]string, error) {
	mounts, err := Mounts(root)
	if err != nil {
		return nil, err
	}
	self, err := readSelf(root)
	if err != nil {
		return nil, err
	}
	return Above(mounts, self, controller), nil
}

// effective are the names of the file that holds a cpuset's CPUs that are
// online: v2, v1, and v1 mounted with noprefix (kernel/cgroup/cpuset.c, 6.12).
var effective = []string{"cpuset.cpus.effective", "cpuset.effective_cpus", "effective_cpus"}

// EffectiveCPUs returns the CPUs that the threads of the cgroup at dir may use.
// The error wraps fs.ErrNotExist where the cgroup does not say.
func EffectiveCPUs(dir string) (topology.CPUSet, error) {
	for _, name := range effective {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		set, err := topology.ParseCPUList(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return set, nil
	}
	return nil, fmt.Errorf("%s has no cpuset: %w", dir, fs.ErrNotExist)
}

// CPUs returns the CPUs that the cpuset of a thread allows, nil where none
// bounds it: in the root cgroup, say. In v2 it is that of the closest cgroup
// above that has the controller.
func CPUs(mounts []Mount, of []Membership) (topology.CPUSet, error) {
	for _, dir := range Above(mounts, of, "cpuset") {
		set, err := EffectiveCPUs(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return set, err
		}
	}
	return nil, nil
}

// balancing are the files by which a cpuset says whether the kernel balances
// its CPUs, and what the first word of each means: v2 (partitions), v1, and v1
// mounted with noprefix. Of other words what is above decides.
var balancing = []struct {
	name string
	yes  map[string]bool
}{
	{"cpuset.cpus.partition", map[string]bool{"root": true, "isolated": false}},
	{"cpuset.sched_load_balance", map[string]bool{"1": true}},
	{"sched_load_balance", map[string]bool{"1": true}},
}

// Balanced reports whether the kernel balances the CPUs of a thread's cpuset. It
// does not in a partition of kind isolated, and in v1 where neither the cpuset
// nor any above it has sched_load_balance. Nobody knows of cpusets outside of the
// namespace: those balance.
func Balanced(mounts []Mount, of []Membership) bool {
	dirs := Above(mounts, of, "cpuset")
	if len(dirs) == 0 {
		return true
	}
	off := 0
	for _, dir := range append(dirs, filepath.Dir(dirs[len(dirs)-1])) {
		for _, file := range balancing {
			text, err := os.ReadFile(filepath.Join(dir, file.name))
			if err != nil {
				continue
			}
			// An invalid partition is a member: "isolated invalid (why)".
			kind := strings.TrimSpace(string(text))
			if yes, told := file.yes[kind]; told {
				return yes
			}
			if kind == "0" {
				off++
			}
		}
	}
	return off <= len(dirs)
}
