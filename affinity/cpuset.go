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
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/cgroup"
	"mllb/topology"
)

// groupName is the directory below --cgroup that holds one group per CPU.
const groupName = "mllb"

// hierarchy is what differs between cgroup versions.
type hierarchy interface {
	// create makes DIR/mllb.
	create() error
	// add makes DIR/mllb/cpuN, a cpuset of that CPU.
	add(cpu int32) error
	// move puts a thread into a cgroup, DIR or below.
	move(tid int32, dir string) error
	// threads lists the threads of a cgroup, without its children.
	threads(dir string) ([]int32, error)
	// undo undoes what create changed in DIR, once the per-CPU groups are gone.
	undo() error
}

// cpusets is the mechanism that moves threads between cpuset cgroups. A thread
// in DIR/mllb or below is there by our doing or is a child of one that is.
// While it is there, its owner can narrow its mask (the kernel applies that
// when the thread comes back), but a mask without the group's CPU is EINVAL.
type cpusets struct {
	cfg   *Config
	sys   *linux // for cgroup membership
	dir   string // --cgroup
	mount cgroup.Mount
	hierarchy
	groups map[int32]bool // CPUs whose group exists
	owner  *ownerWatch    // of a v1 cpuset, or nil
	pause  time.Time      // until when nothing is made, for its owner's sake
}

func newCPUSets(cfg *Config, dir string) (*cpusets, error) {
	l, ok := cfg.Sys.(*linux)
	if !ok {
		var err error
		if l, err = newLinux(cfg.Root); err != nil {
			return nil, err
		}
	}
	c := &cpusets{cfg: cfg, sys: l, dir: filepath.Clean(dir), groups: make(map[int32]bool)}
	if info, err := os.Stat(c.dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("enforcer cpuset: %s is not a cgroup directory: %w", c.dir, cmpErr(err, unix.ENOTDIR))
	}
	for _, m := range l.mounts {
		if within(m.Point, c.dir) && len(m.Point) > len(c.mount.Point) {
			c.mount = m
		}
	}
	switch {
	case c.mount.Point == "":
		return nil, fmt.Errorf("enforcer cpuset: %s is in no cgroup hierarchy", c.dir)
	case c.mount.Hierarchy == 0:
		c.hierarchy = newUnified(c.mount.Point, c.dir)
	case slices.Contains(c.mount.Controllers, "cpuset"):
		c.hierarchy = newLegacy(c.mount.Point, c.dir)
	default:
		return nil, fmt.Errorf("enforcer cpuset: %s is in the %s hierarchy, not in one with cpusets", c.dir, &c.mount)
	}
	return c, nil
}

func cmpErr(err, or error) error {
	if err != nil {
		return err
	}
	return or
}

// within reports whether dir is top or below it.
func within(top, dir string) bool {
	return dir == top || strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/")
}

func (c *cpusets) group(cpu int32) string {
	return filepath.Join(c.dir, groupName, "cpu"+strconv.Itoa(int(cpu)))
}

// where returns the directory of the thread's cgroup in our hierarchy.
func (c *cpusets) where(tgid, tid int32) (string, error) {
	all, err := c.sys.memberships(tgid, tid)
	if err != nil {
		return "", err
	}
	return c.mount.DirOf(all), nil
}

func (c *cpusets) origin(tgid, tid int32) (string, error) {
	dir, err := c.where(tgid, tid)
	switch {
	case err != nil:
		return "", err
	case !within(c.dir, dir):
		return "", ErrOutside
	case within(filepath.Join(c.dir, groupName), dir):
		return c.dir, nil // left over, or put there by somebody else
	}
	return dir, nil
}

func (c *cpusets) ready(cpu int32) error {
	if c.groups[cpu] {
		if _, err := os.Stat(c.group(cpu)); err == nil {
			return nil
		}
		clear(c.groups) // they went with DIR, which has been made anew
	}
	if time.Now().Before(c.pause) {
		return fmt.Errorf("another process has just opened %s: %w", c.dir, ErrChanged)
	}
	if len(c.groups) == 0 {
		if c.owner != nil {
			if err := c.owner.mark(); err != nil {
				return err
			}
		}
		if err := c.create(); err != nil {
			return fmt.Errorf("make %s/%s: %w", c.dir, groupName, err)
		}
	}
	if err := c.add(cpu); err != nil {
		return fmt.Errorf("make %s: %w", c.group(cpu), err)
	}
	c.groups[cpu] = true
	return nil
}

func (c *cpusets) narrow(r *record) error { return c.put(r.TID, c.group(r.CPU)) }

// put moves a thread. A write of a tid that has ended is ESRCH.
func (c *cpusets) put(tid int32, dir string) error {
	if err := c.move(tid, dir); err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = ErrGone
		}
		return fmt.Errorf("move thread %d to %s: %w", tid, dir, err)
	}
	return nil
}

// mine is certain here. When the last CPU of a v1 cpuset goes offline the
// kernel moves its threads up to the next that has one, DIR/mllb.
func (c *cpusets) mine(tgid, tid int32) (bool, error) {
	dir, err := c.where(tgid, tid)
	return within(filepath.Join(c.dir, groupName), dir), err
}

// widen puts the thread back where it came from, or into DIR if that is gone
// or never was below DIR (a journal may say anything). Its mask is then that
// cpuset's, less what its owner asked for (user_cpus_ptr, since 6.2); kernels
// before that forget the owner's mask, so it is set again where it is missed.
func (c *cpusets) widen(r *record, tgid, tid int32) error {
	mine, err := c.mine(tgid, tid)
	if err != nil || !mine {
		return err // somebody else moved it away: theirs to decide
	}
	to := r.Origin
	if filepath.Clean(to) != to || !within(c.dir, to) || within(filepath.Join(c.dir, groupName), to) {
		to = c.dir
	}
	err = c.put(tid, to)
	if to != c.dir && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)) {
		err = c.put(tid, c.dir)
	}
	if err != nil || r.Full {
		return err
	}
	t, err := c.cfg.Sys.Task(tgid, tid)
	if err != nil || t.Mask.SubsetOf(r.Owner) {
		return err
	}
	return setOwner(c.cfg.Sys, r, tid)
}

// close empties and removes the groups, those of a predecessor as well.
func (c *cpusets) close() error {
	top := filepath.Join(c.dir, groupName)
	entries, err := os.ReadDir(top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", top, err)
	}
	for _, d := range entries {
		if d.IsDir() && d.Name() != marker {
			err = errors.Join(err, c.remove(filepath.Join(top, d.Name())))
		}
	}
	if err == nil {
		err = errors.Join(c.undo(), c.remove(filepath.Join(top, marker)), c.remove(top))
	}
	clear(c.groups)
	return err
}

// remove is rmdir after every thread has been moved to DIR: os.RemoveAll, as
// containerd/cgroups does it, would go on into directories that are not ours.
func (c *cpusets) remove(dir string) error {
	// A thread may be born there meanwhile, and one that is exiting can neither
	// be moved nor holds the group for long (cgroup_migrate_add_task in
	// kernel/cgroup/cgroup.c, 6.12).
	for wait := time.Millisecond; wait < time.Second; wait += wait / 2 {
		tids, err := c.threads(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		for _, tid := range tids {
			if err := c.put(tid, c.dir); err != nil && !errors.Is(err, ErrGone) {
				return fmt.Errorf("remove %s: %w", dir, err)
			}
		}
		err = unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		time.Sleep(wait)
	}
	return fmt.Errorf("remove %s: %w", dir, unix.EBUSY)
}

// readThreads reads a list of thread ids.
func readThreads(path string) ([]int32, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []int32
	for word := range strings.FieldsSeq(string(text)) {
		n, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a thread id", path, word)
		}
		out = append(out, int32(n))
	}
	return out, nil
}

func cpuList(cpu int32) string { return topology.NewCPUSet(int(cpu)).String() }
