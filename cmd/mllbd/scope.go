// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"mllb/internal/cgroup"
	"mllb/internal/procfile"
	"mllb/scheduler"
	"mllb/topology"
)

// openScope finds the cgroups that flags name and says what is managed.
func (s *session) openScope() (err error) {
	sc := &scheduler.Filter{Self: int32(os.Getpid()), Lineage: len(s.cfg.Command) > 0}
	s.scope = sc
	sc.LeftOut = topology.AllLeftOut(s.topology.LeftOut)
	mounts, err := cgroup.Mounts(s.cfg.Root)
	if err != nil {
		return err
	}
	sc.Cpuset = (&cpusets{s.cfg.Root, mounts}).allowed
	ofCpusets, err := cgroup.DefaultHierarchy(s.cfg.Root)
	if err != nil && !errors.Is(err, cgroup.ErrNotMounted) {
		return err
	}
	s.hierarchy = ofCpusets
	defer func() { sc.ByCgroup = s.hierarchy == ofCpusets }()
	trees := &cgroupTrees{log: s.log}
	if s.cfg.Cgroup != "" {
		dir, err := cgroup.Find(s.cfg.Root, s.cfg.Cgroup)
		if err != nil {
			return err
		}
		if s.cfg.Backend == backendCPUSet && dir.Hierarchy != 0 && !slices.Contains(dir.Controllers, "cpuset") {
			return fmt.Errorf("--backend cpuset: %s is in the hierarchy of %s, not of cpuset", dir.Path, strings.Join(dir.Controllers, ","))
		}
		s.hierarchy, s.cgroup = dir.Hierarchy, dir.Path
		trees.scope = cgroup.NewTree(dir)
		sc.Tree = trees.scope
	}
	if sc.Programs, trees.excluded, err = s.excludes(s.cfg.Exclude, s.cgroup != ""); err != nil {
		return err
	}
	if sc.Lineage {
		if sc.Baseline, err = ownMask(s.cfg.Root); err != nil {
			return err
		}
	}
	s.watch(trees)
	return trees.walk()
}

// watch has the scope go by these cgroups.
func (s *session) watch(trees *cgroupTrees) {
	s.trees = trees
	s.scope.Excluded, s.scope.Refresh = nil, nil
	if len(trees.excluded) > 0 {
		s.scope.Excluded = trees
	}
	if trees.scope != nil || len(trees.excluded) > 0 {
		s.scope.Refresh = trees.refresh
	}
	s.stats.mu.Lock()
	s.stats.cgroups = trees
	s.stats.mu.Unlock()
}

// excludes sorts --exclude: what has a '/' is a cgroup, the rest are programs. A
// service that is to be left alone need not run yet. Unless fixed, the first cgroup
// says in which hierarchy the others are to be.
func (s *session) excludes(list []string, fixed bool) (*scheduler.Programs, []*cgroup.Tree, error) {
	var names []string
	var trees []*cgroup.Tree
	for _, x := range list {
		if !strings.Contains(x, "/") {
			names = append(names, x)
			continue
		}
		dir, err := cgroup.FindOrExpect(s.cfg.Root, x)
		if err != nil {
			return nil, nil, fmt.Errorf("--exclude: %w", err)
		}
		// Snapshots name the cgroup of one hierarchy only.
		if !fixed {
			s.hierarchy, fixed = dir.Hierarchy, true
		}
		if dir.Hierarchy != s.hierarchy {
			return nil, nil, fmt.Errorf("--exclude: %s is in another cgroup hierarchy than the cgroups named before: name all in one", dir.Path)
		}
		trees = append(trees, cgroup.NewTree(dir))
	}
	if len(names) == 0 {
		return nil, trees, nil
	}
	return scheduler.NewPrograms(names, s.program), trees, nil
}

// program returns the names of a process and of its executable, "" if they cannot be
// told: it has ended, or it is another user's and mllbd is not root. A thread
// that led its process and ended before the others has no executable.
func (s *session) program(pid int32) (exe, comm string) {
	dir := filepath.Join(s.cfg.Root, "proc", strconv.Itoa(int(pid)))
	if b, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
		comm = strings.TrimSuffix(string(b), "\n")
	}
	path, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil {
		tasks, _ := filepath.Glob(filepath.Join(dir, "task/*/exe"))
		for i := 0; i < len(tasks) && err != nil; i++ {
			path, err = os.Readlink(tasks[i])
		}
	}
	if err != nil {
		return "", comm
	}
	return filepath.Base(strings.TrimSuffix(path, " (deleted)")), comm // proc_pid_exe(5)
}

// cgroupTrees are the cgroups that flags name, walked again each second and
// when a thread is in a cgroup that is new. As inodes, they are those that are
// excluded.
type cgroupTrees struct {
	scope    *cgroup.Tree // of --cgroup, or nil
	excluded []*cgroup.Tree
	log      *slog.Logger
	walked   bool
	failing  bool
	gone     atomic.Int32 // how many are not there now
}

// Has implements scheduler.Cgroups.
func (c *cgroupTrees) Has(inode uint64) bool {
	for _, t := range c.excluded {
		if t.Has(inode) {
			return true
		}
	}
	return false
}

func (c *cgroupTrees) walk() error {
	var errs []error
	gone := int32(0)
	see := func(t *cgroup.Tree, flag string) {
		before := t.Top()
		errs = append(errs, t.Refresh())
		if t.Top() == 0 {
			gone++
		}
		c.tell(t, flag, before)
	}
	if c.scope != nil {
		see(c.scope, "--cgroup")
	}
	for _, t := range c.excluded {
		see(t, "--exclude")
	}
	c.walked = true
	c.gone.Store(gone)
	return errors.Join(errs...)
}

// tell says once what became of a cgroup.
func (c *cgroupTrees) tell(t *cgroup.Tree, flag string, before uint64) {
	switch now := t.Top(); {
	case now == 0 && !c.walked:
		c.log.Warn("a cgroup is not there yet: it counts once it is", "flag", flag, "cgroup", t.Path())
	case now == before || !c.walked:
	case now == 0:
		c.log.Warn("a cgroup is gone: it counts again once it is back", "flag", flag, "cgroup", t.Path())
	case before == 0:
		c.log.Info("a cgroup is there", "flag", flag, "cgroup", t.Path())
	default:
		c.log.Info("a cgroup was made anew: the new one counts", "flag", flag, "cgroup", t.Path())
	}
}

// refresh walks the trees.
func (c *cgroupTrees) refresh() {
	err := c.walk()
	if err != nil && !c.failing {
		c.log.Warn("a cgroup that a flag names cannot be read", "err", err)
	}
	c.failing = err != nil
}

// ownMask returns the CPUs that mllbd itself was started on, which is what CMD
// inherits. sched_getaffinity(2) would do, but for hosts of over 1,024 CPUs.
func ownMask(root string) (topology.CPUSet, error) {
	path := filepath.Join(root, "proc/self/status")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read mllbd's own mask: %w", err)
	}
	mask, err := procfile.StatusAllowed(b, nil)
	if err != nil {
		return nil, fmt.Errorf("read mllbd's own mask: %s: %w", path, err)
	}
	return mask, nil
}
