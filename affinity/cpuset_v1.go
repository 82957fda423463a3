// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// legacy is a v1 cpuset hierarchy, by containerd/cgroups.
type legacy struct {
	mount, dir string
	groups     map[string]cgroup1.Cgroup // by directory
}

func newLegacy(mount, dir string) *legacy {
	return &legacy{mount: mount, dir: dir, groups: make(map[string]cgroup1.Cgroup)}
}

// controller is containerd/cgroups' own cpuset controller, which copies the
// parent's CPUs and memory nodes into a new group, told where the hierarchy
// is: by itself it only knows ROOT/cpuset.
type controller struct{ mount string }

func (c controller) Name() cgroup1.Name       { return cgroup1.Cpuset }
func (c controller) Path(group string) string { return filepath.Join(c.mount, group) }

func (c controller) Create(group string, r *specs.LinuxResources) error {
	dir := c.Path(group)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	// Both files of a new v1 cpuset are empty, and no thread can be moved
	// there until both are set (ENOSPC, cgroups(7)); memory nodes are the
	// parent's, the effective ones of which exist even where it has none set.
	mems, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "cpuset.effective_mems"))
	if err != nil {
		return err
	}
	cpus := []byte(r.CPU.Cpus)
	if r.CPU.Cpus == "" {
		if cpus, err = os.ReadFile(filepath.Join(filepath.Dir(dir), "cpuset.effective_cpus")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cpuset.mems"), mems, 0); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cpuset.cpus"), cpus, 0)
}

func (l *legacy) hierarchy() ([]cgroup1.Subsystem, error) {
	return []cgroup1.Subsystem{controller{l.mount}}, nil
}

func (l *legacy) path(dir string) (cgroup1.Path, error) {
	rel, err := filepath.Rel(l.mount, dir)
	return cgroup1.StaticPath(rel), err
}

func (l *legacy) make(dir, cpus string) error {
	path, err := l.path(dir)
	if err != nil {
		return err
	}
	_, err = cgroup1.New(path, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: cpus}}, cgroup1.WithHierarchy(l.hierarchy))
	return err
}

func (l *legacy) create() error { return l.make(filepath.Join(l.dir, groupName), "") }

func (l *legacy) add(cpu int32) error {
	return l.make(filepath.Join(l.dir, groupName, "cpu"+strconv.Itoa(int(cpu))), cpuList(cpu))
}

// move keeps what it loaded: groups are few. A group that was removed meanwhile
// is ErrNotExist when the id is written.
func (l *legacy) move(tid int32, dir string) error {
	g := l.groups[dir]
	if g == nil {
		path, err := l.path(dir)
		if err != nil {
			return err
		}
		if g, err = cgroup1.Load(path, cgroup1.WithHierarchy(l.hierarchy)); err != nil {
			if err == cgroup1.ErrCgroupDeleted {
				err = os.ErrNotExist
			}
			return err
		}
		l.groups[dir] = g
	}
	return g.AddTask(cgroup1.Process{Pid: int(tid)}, cgroup1.Cpuset)
}

func (l *legacy) threads(dir string) ([]int32, error) {
	return readThreads(filepath.Join(dir, "tasks"))
}

func (l *legacy) undo() error { return nil }
