// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mllb/affinity"
	"mllb/cgroup"
	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/procfs"
	"mllb/mlp"
	"mllb/scheduler"
	"mllb/topology"
)

// openPolicy makes the policy, with its model where it has one.
func (s *session) openPolicy() (err error) {
	// Policies without a model are shown in the set that has every feature.
	if s.set, err = features.Lookup("locality17"); err != nil {
		return err
	}
	var model *mlp.Model
	if s.cfg.Policy == "mlp" {
		s.id.Model = "built-in"
		if s.cfg.Model == "" {
			model, err = mlp.Default()
		} else {
			s.id.Model = filepath.Base(s.cfg.Model)
			model, err = mlp.LoadFile(s.cfg.Model)
		}
		if err != nil {
			return err
		}
		s.set = model.Set
	}
	s.policy, err = scheduler.NewPolicy(s.cfg.Policy, model)
	return err
}

// openScope finds the cgroups that flags name and says what is managed.
func (s *session) openScope() (err error) {
	sc := &scope{self: int32(os.Getpid()), lineage: len(s.cfg.Command) > 0}
	s.scope = sc
	trees := &cgroupTrees{log: s.log}
	if s.cfg.Cgroup != "" {
		dir, err := cgroup.Find(s.cfg.Root, s.cfg.Cgroup)
		if err != nil {
			return err
		}
		if s.cfg.Enforcer == "cpuset" && dir.Hierarchy != 0 && !slices.Contains(dir.Controllers, "cpuset") {
			return fmt.Errorf("--enforcer cpuset: %s is in the hierarchy of %s, not of cpuset", dir.Path, strings.Join(dir.Controllers, ","))
		}
		s.hierarchy, s.cgroup = dir.Hierarchy, dir.Path
		trees.scope, trees.dir = cgroup.NewTree(dir), dir.Path
		sc.tree = trees.scope
	} else if s.hierarchy, err = cgroup.DefaultHierarchy(s.cfg.Root); err != nil && !errors.Is(err, cgroup.ErrNotMounted) {
		return err
	}
	if err := s.openExcludes(trees); err != nil {
		return err
	}
	if sc.lineage {
		if sc.baseline, err = ownMask(s.cfg.Root); err != nil {
			return err
		}
	}
	if trees.scope != nil || len(trees.excluded) > 0 {
		sc.refresh = trees.refresh
		return trees.walk()
	}
	return nil
}

// openExcludes sorts --exclude: what has a '/' is a cgroup, the rest are names.
func (s *session) openExcludes(trees *cgroupTrees) error {
	for _, x := range s.cfg.Exclude {
		if !strings.Contains(x, "/") {
			if s.scope.names == nil {
				s.scope.names = make(map[[16]byte]struct{})
			}
			s.scope.names[commName(x)] = struct{}{}
			continue
		}
		dir, err := cgroup.Find(s.cfg.Root, x)
		if err != nil {
			return fmt.Errorf("--exclude: %w", err)
		}
		// Snapshots name the cgroup of one hierarchy only.
		if s.cgroup == "" && len(trees.excluded) == 0 {
			s.hierarchy = dir.Hierarchy
		}
		if dir.Hierarchy != s.hierarchy {
			return fmt.Errorf("--exclude: %s is in another cgroup hierarchy than the cgroups named before: name all in one", dir.Path)
		}
		trees.excluded = append(trees.excluded, cgroup.NewTree(dir))
		s.scope.excluded = trees
	}
	return nil
}

// cgroupTrees are the cgroups that flags name, walked again each second. As
// inodes, they are those that are excluded.
type cgroupTrees struct {
	scope    *cgroup.Tree // of --cgroup, or nil
	dir      string       // its directory
	excluded []*cgroup.Tree
	log      *slog.Logger
	failing  bool
}

// Has implements inodes.
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
	if c.scope != nil {
		errs = append(errs, c.scope.Refresh())
	}
	for _, t := range c.excluded {
		errs = append(errs, t.Refresh())
	}
	return errors.Join(errs...)
}

// refresh walks the trees and reads the CPUs that --cgroup has. A cgroup that
// was removed has no threads left; that is said once.
func (c *cgroupTrees) refresh(sc *scope) {
	err := c.walk()
	if err != nil && !c.failing {
		c.log.Warn("a cgroup that a flag names cannot be read", "err", err)
	}
	c.failing = err != nil
	if c.scope != nil {
		sc.baseline = effectiveCPUs(c.dir)
	}
}

// effectiveCPUs returns the CPUs that a cgroup's threads may use, or nil if its
// hierarchy does not say: the file is cpuset.cpus.effective in v2 and
// cpuset.effective_cpus in v1 (kernel/cgroup/cpuset.c, 6.12).
func effectiveCPUs(dir string) topology.CPUSet {
	for _, file := range []string{"cpuset.cpus.effective", "cpuset.effective_cpus"} {
		line, err := readLine(filepath.Join(dir, file))
		if err != nil {
			continue
		}
		if set, err := topology.ParseCPUList(line); err == nil && !set.Empty() {
			return set
		}
	}
	return nil
}

// ownMask returns the CPUs that mllbd itself was started on, which is what CMD
// inherits. sched_getaffinity(2) would do, but for hosts of over 1,024 CPUs.
func ownMask(root string) (topology.CPUSet, error) {
	b, err := os.ReadFile(filepath.Join(root, "proc/self/status"))
	if err != nil {
		return nil, fmt.Errorf("read mllbd's own mask: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return topology.ParseCPUList(list)
		}
	}
	return nil, errors.New("read mllbd's own mask: no Cpus_allowed_list in /proc/self/status")
}

// host is a reader of snapshots.
type host interface {
	scheduler.Host
	Close() error
}

// procHost is the /proc rung, which has nothing to close.
type procHost struct{ *procfs.Reader }

func (procHost) Close() error { return nil }

// openHost opens the best rung that --snapshot allows and takes a first
// snapshot, to know that there will be others.
func (s *session) openHost() error {
	rung := s.cfg.Snapshot
	if rung == "auto" && s.cfg.Root != "/" {
		rung = "proc"
	}
	if rung != "proc" {
		r, err := bpf.Open(bpf.Options{Hierarchy: s.hierarchy, CPUs: len(s.topology.CPUs)})
		if err == nil {
			s.host, s.id.Rung = r, "bpf"
			if err := r.QuietError(); err != nil {
				s.log.Info("the host is read at every tick, also at rest", "why", err)
			}
			return s.firstSnapshot()
		}
		if rung == "bpf" {
			return err
		}
		s.log.Info("snapshots are read from /proc", "why", err)
	}
	r, err := procfs.Open(procfs.Options{Root: s.cfg.Root, Hierarchy: s.hierarchy})
	if err != nil {
		return err
	}
	s.host, s.id.Rung = procHost{r}, "proc"
	if err := s.firstSnapshot(); err != nil {
		return err
	}
	for _, m := range r.Missing() {
		s.log.Warn("snapshots lack " + m)
	}
	return nil
}

func (s *session) firstSnapshot() error {
	var first features.Snapshot
	if err := s.host.Snapshot(&first); err != nil {
		return fmt.Errorf("read the host: %w", err)
	}
	return nil
}

// openEnforcer takes the lock, heals what a killed predecessor left, and starts
// to follow forks where the kernel can tell of them.
func (s *session) openEnforcer() error {
	if s.cfg.Mode == "observe" {
		return nil
	}
	cfg := affinity.Config{
		Root: s.cfg.Root, StateDir: s.cfg.StateDir,
		Kind: s.cfg.Enforcer, Cgroup: s.cgroup, Log: s.log,
	}
	forks, err := bpf.OpenForks()
	if err != nil {
		s.log.Info("forks are followed in snapshots", "why", err)
	} else {
		s.forks = &forkTracer{forks: forks, log: s.log}
		cfg.Forks = forks
	}
	enforcer, report, err := affinity.Open(cfg)
	if err != nil {
		return err
	}
	s.enforcer = enforcer
	if report.Restored+report.Inherited+report.Failed+report.Foreign > 0 {
		s.log.Info("healed what a killed mllbd left", "report", report.String())
	}
	for _, note := range report.Notes {
		s.log.Warn(note)
	}
	if s.forks != nil {
		go s.forks.run(enforcer)
	}
	s.openIdle()
	return nil
}

// openIdle has the kernel tell of CPUs that go idle while held threads wait.
func (s *session) openIdle() {
	r, ok := s.host.(*bpf.Reader)
	if !ok {
		return // from /proc a tick costs too much to make more of them
	}
	w, err := r.OpenIdle()
	if err != nil {
		s.log.Info("an idle CPU waits for the next tick", "why", err)
		return
	}
	s.idle = &idleWatch{watch: w, log: s.log, starved: make(chan struct{}, 1)}
	go s.idle.run()
}

// idleWatch tells the daemon of idle CPUs.
type idleWatch struct {
	watch   *bpf.Idle
	log     *slog.Logger
	starved chan struct{}
}

func (w *idleWatch) run() {
	for {
		err := w.watch.Wait()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			w.log.Warn("an idle CPU was missed", "err", err)
			time.Sleep(100 * time.Millisecond) // it may go on failing
			continue
		}
		select {
		case w.starved <- struct{}{}:
		default: // the daemon has not heard of the last one yet
		}
	}
}

func (w *idleWatch) arm(yes bool) {
	if err := w.watch.Arm(yes); err != nil {
		w.log.Debug("idle CPUs wait for the next tick", "err", err)
	}
}

func (w *idleWatch) close() {
	if err := w.watch.Close(); err != nil {
		w.log.Warn("close the watch of idle CPUs", "err", err)
	}
}

// forkTracer feeds the forks of held threads to the enforcer.
type forkTracer struct {
	forks *bpf.Forks
	log   *slog.Logger
}

func (f *forkTracer) run(e *affinity.Enforcer) {
	for {
		fork, err := f.forks.Read()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			f.log.Warn("a fork was missed", "err", err)
			time.Sleep(100 * time.Millisecond) // it may go on failing
			continue
		}
		e.Forked(affinity.Fork{
			Parent: fork.Parent, TGID: fork.TGID,
			Child: features.ID{TID: fork.Child, Start: fork.Start},
		})
	}
}

func (f *forkTracer) close() {
	if err := f.forks.Close(); err != nil {
		f.log.Warn("close the fork tracer", "err", err)
	}
}
