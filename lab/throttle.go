// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
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
)

// ErrNoController says that no CPU can be limited here.
var ErrNoController = errors.New("no usable cpu controller")

// throttlePrefix begins the names of the cgroups made here. Their owner has the
// directory locked, so what is not locked was left by one that was killed.
const throttlePrefix = "mllb-lab-"

// throttle limits threads of one process by the cpu controller, each in a cgroup
// of its own below top. In v2 these are threaded, and top, the root of the
// threaded domain, holds the rest of the process.
type throttle struct {
	top  string
	lock *os.File
	v2   bool
}

// newThrottle makes the cgroup of one guest on the host at root.
func newThrottle(root string) (*throttle, error) {
	dirs, v2, err := controllerDirs(root)
	if err != nil {
		return nil, err
	}
	var why error
	for _, dir := range dirs {
		if v2 && !hasWord(filepath.Join(dir, "cgroup.subtree_control"), "cpu") {
			continue
		}
		t := &throttle{v2: v2}
		if err := t.make(dir); err != nil {
			why = cmp.Or(why, err)
			continue
		}
		return t, nil
	}
	if why == nil {
		why = fmt.Errorf("no cgroup from %s up has +cpu in cgroup.subtree_control", dirs[0])
	}
	return nil, fmt.Errorf("%w: %w", ErrNoController, why)
}

// controllerDirs are the cgroup of this process in the hierarchy that has the cpu
// controller, and those above it: v1 if it is there, else v2.
func controllerDirs(root string) (dirs []string, v2 bool, err error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return nil, false, err
	}
	at := slices.IndexFunc(mounts, func(m cgroup.Mount) bool { return slices.Contains(m.Controllers, "cpu") })
	if at < 0 {
		v2 = true
		at = slices.IndexFunc(mounts, func(m cgroup.Mount) bool { return m.Hierarchy == 0 })
	}
	if at < 0 {
		return nil, false, fmt.Errorf("%w: it is not mounted", ErrNoController)
	}
	if v2 && !hasWord(filepath.Join(mounts[at].Point, "cgroup.controllers"), "cpu") {
		return nil, false, fmt.Errorf("%w: %s has none", ErrNoController, mounts[at].Point)
	}
	dirs, err = cgroup.Own(root, "cpu")
	return append(dirs, mounts[at].Point), v2, err
}

func hasWord(file, word string) bool {
	text, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Fields(string(text)), word)
}

// make makes and locks the cgroup, with the parent locked: so it is never without
// a lock where others look for leftovers.
func (t *throttle) make(parent string) error {
	family, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer family.Close()
	if err := unix.Flock(int(family.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", parent, err)
	}
	if err := removeLeftovers(parent); err != nil {
		return err
	}
	if t.top, err = os.MkdirTemp(parent, throttlePrefix); err != nil {
		return err
	}
	if t.lock, err = os.Open(t.top); err == nil {
		err = unix.Flock(int(t.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	return nil
}

// removeLeftovers removes the cgroups of guests whose owner has gone. QEMU went
// with it; a cgroup that is not empty is not in our way.
func removeLeftovers(parent string) error {
	left, err := filepath.Glob(filepath.Join(parent, throttlePrefix+"*"))
	if err != nil {
		return err
	}
	for _, top := range left {
		dir, err := os.Open(top)
		if err != nil {
			continue // gone meanwhile, or another user's
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = (&throttle{top: top}).remove(0)
		}
		dir.Close()
	}
	return nil
}

// add puts a thread of the process into a cgroup of its own, without a limit.
func (t *throttle) add(pid, cpu, tid int) error {
	dir := t.dir(cpu)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // of an earlier try
		return err
	}
	type entry struct{ dir, file, text string }
	entries := []entry{{dir, "tasks", strconv.Itoa(tid)}}
	if t.v2 {
		// In this order: a cgroup that holds processes passes controllers on only as
		// the root of a threaded domain (Documentation/admin-guide/cgroup-v2.rst).
		entries = []entry{
			{dir, "cgroup.type", "threaded"},
			{t.top, "cgroup.procs", strconv.Itoa(pid)},
			{t.top, "cgroup.subtree_control", "+cpu"},
			{dir, "cgroup.threads", strconv.Itoa(tid)},
		}
	}
	for _, w := range entries {
		if err := write(w.dir, w.file, w.text); err != nil {
			return err
		}
	}
	return t.set(cpu, 100)
}

func (t *throttle) dir(cpu int) string { return filepath.Join(t.top, "cpu"+strconv.Itoa(cpu)) }

// set gives a CPU's thread so many percent of a host CPU.
func (t *throttle) set(cpu, percent int) error {
	quota, period := bandwidth(percent)
	var err error
	if t.v2 {
		text := "max"
		if quota > 0 {
			text = strconv.Itoa(quota)
		}
		err = write(t.dir(cpu), "cpu.max", text+" "+strconv.Itoa(period))
	} else if err = write(t.dir(cpu), "cpu.cfs_period_us", strconv.Itoa(period)); err == nil {
		err = write(t.dir(cpu), "cpu.cfs_quota_us", strconv.Itoa(quota))
	}
	if err != nil {
		return fmt.Errorf("limit CPU %d to %d %%: %w", cpu, percent, err)
	}
	return nil
}

// bandwidth is quota and period in microseconds; a quota of -1 is none. The
// shorter the period the more it looks like a slower CPU, but the kernel takes no
// quota below a millisecond (min_cfs_quota_period, kernel/sched/core.c).
func bandwidth(percent int) (quota, period int) {
	const shortest, least = 10_000, 1_000
	if percent >= 100 {
		return -1, shortest
	}
	period = max(shortest, (least*100+percent-1)/percent)
	return period * percent / 100, period
}

func write(dir, file, text string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(text), 0)
}

// close removes the cgroups of a guest that has ended, whose last thread may still
// be on its way out.
func (t *throttle) close() error {
	err := t.remove(5 * time.Second)
	if t.lock != nil {
		err = errors.Join(err, t.lock.Close())
	}
	return err
}

func (t *throttle) remove(patience time.Duration) error {
	dirs, err := filepath.Glob(filepath.Join(t.top, "cpu[0-9]*"))
	if err != nil {
		return err
	}
	end := time.Now().Add(patience)
	for _, dir := range append(dirs, t.top) {
		err := unix.Rmdir(dir)
		for ; err == unix.EBUSY && time.Now().Before(end); err = unix.Rmdir(dir) {
			time.Sleep(time.Millisecond)
		}
		if err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}
