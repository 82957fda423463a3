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

	"github.com/containerd/cgroups/v3/cgroup2"
)

// unified is a v2 hierarchy, by containerd/cgroups. Threads of one process can
// only be in different cgroups of v2 where those are threaded, which makes DIR
// the root of a threaded domain (Documentation/admin-guide/cgroup-v2.rst). That
// needs a DIR without populated domain children, and reaches the threads in
// DIR itself and in threaded cgroups below it.
type unified struct{ mount, dir string }

func newUnified(mount, dir string) *unified { return &unified{mount, dir} }

func (u *unified) top() string { return filepath.Join(u.dir, groupName) }

func (u *unified) load(dir string) (*cgroup2.Manager, error) {
	rel, err := filepath.Rel(u.mount, dir)
	if err != nil {
		return nil, err
	}
	return cgroup2.Load("/"+rel, cgroup2.WithMountpoint(u.mount))
}

// marker is made beside the per-CPU groups where DIR did not hand out cpusets
// before. It outlives a crash as the groups do, and names what to undo.
const marker = "cpuset-was-off"

func (u *unified) create() error {
	parent, err := u.load(u.dir)
	if err != nil {
		return err
	}
	has, err := parent.Controllers()
	if err != nil {
		return err
	}
	if !slices.Contains(has, "cpuset") {
		return fmt.Errorf("the cpuset controller is not enabled for %s: write +cpuset to cgroup.subtree_control above it", u.dir)
	}
	if err := u.threaded(u.dir, groupName); err != nil {
		return err
	}
	on, err := enabled(u.dir)
	if err != nil {
		return err
	}
	if !on {
		if err := u.threaded(u.top(), marker); err != nil {
			return err
		}
		if err := toggle(u.dir, "+cpuset"); err != nil {
			return err
		}
	}
	return toggle(u.top(), "+cpuset")
}

// threaded makes a threaded child of a cgroup.
func (u *unified) threaded(dir, name string) error {
	parent, err := u.load(dir)
	if err != nil {
		return err
	}
	child, err := parent.NewChild(name, nil)
	if err != nil {
		return err
	}
	if kind, err := child.GetType(); err != nil || kind == cgroup2.Threaded {
		return err
	}
	if err := child.SetType(cgroup2.Threaded); err != nil {
		return fmt.Errorf("make %s/%s threaded (a cgroup below %s may hold processes): %w", dir, name, u.dir, err)
	}
	return nil
}

// toggle is not Manager.ToggleControllers, which writes every cgroup from the
// mount down, and what is above DIR is not ours.
func toggle(dir, what string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(what), 0)
}

func enabled(dir string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return slices.Contains(strings.Fields(string(text)), "cpuset"), err
}

func (u *unified) add(cpu int32) error {
	name := "cpu" + strconv.Itoa(int(cpu))
	if err := u.threaded(u.top(), name); err != nil {
		return err
	}
	group, err := u.load(filepath.Join(u.top(), name))
	if err != nil {
		return err
	}
	return group.Update(&cgroup2.Resources{CPU: &cgroup2.CPU{Cpus: cpuList(cpu)}})
}

func (u *unified) move(tid int32, dir string) error {
	g, err := u.load(dir)
	if err != nil {
		return err
	}
	return g.AddThread(uint64(tid))
}

func (u *unified) threads(dir string) ([]int32, error) {
	return readThreads(filepath.Join(dir, "cgroup.threads"))
}

// undo takes cpusets from DIR again where it did not hand them out before. A
// controller cannot be disabled while a child passes it on.
func (u *unified) undo() error {
	_, err := os.Stat(filepath.Join(u.top(), marker))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = toggle(u.top(), "-cpuset")
	}
	if err == nil {
		err = toggle(u.dir, "-cpuset")
	}
	return err
}
