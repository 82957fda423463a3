// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"mllb/affinity"
	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/procfs"
	"mllb/mlp"
	"mllb/scheduler"
)

// judge is what decides.
type judge struct {
	policy scheduler.Policy
	model  *mlp.Model    // of policy mlp, else nil
	name   string        // of the model
	set    *features.Set // in which events show decisions
}

// openPolicy makes the policy, with its model where it has one.
func (c *runCmd) openPolicy(log *slog.Logger) (d judge, err error) {
	// Policies without a model are shown in the set that has every feature.
	if d.set, err = features.Lookup("locality17"); err != nil {
		return d, err
	}
	if c.Policy == "mlp" {
		if d.name = "built-in"; c.Model == "" {
			d.model, err = mlp.Default()
		} else {
			d.name = filepath.Base(c.Model)
			d.model, err = mlp.LoadFile(c.Model)
		}
		if err != nil {
			return d, err
		}
		d.set = d.model.Set
		if doubt := mlp.Doubt(d.model.Provenance.Metrics); doubt != "" {
			log.Warn("the model "+doubt, "model", d.name)
		}
	}
	d.policy, err = scheduler.NewPolicy(c.Policy, d.model)
	return d, err
}

func (s *session) openPolicy() (err error) {
	s.judge, err = s.cfg.openPolicy(s.log)
	s.id.Model = s.name
	return err
}

// host is a reader of snapshots.
type host interface {
	scheduler.Host
	Close() error
}

// procHost is the /proc backend, which has nothing to close.
type procHost struct{ *procfs.Reader }

func (procHost) Close() error { return nil }

// openHost opens the best backend that --snapshot allows and takes a first
// snapshot, to know that there will be others.
func (s *session) openHost() error {
	backend := s.cfg.Snapshot
	if backend == "auto" && s.cfg.Root != "/" {
		backend = "proc"
	}
	if backend != "proc" {
		opt := bpf.Options{Hierarchy: s.hierarchy, CPUs: len(s.topology.CPUs)}
		if s.scope.Lineage {
			opt.Ancestor = s.scope.Self
		}
		r, err := bpf.Open(opt)
		if err == nil {
			s.host, s.id.Backend = r, "bpf"
			if err := r.AwakeError(); err != nil {
				s.log.Info("each snapshot reads all threads", "why", err)
			}
			if err := r.UnchangedError(); err != nil {
				s.log.Info("the host is read at every tick, also at rest", "why", err)
			}
			return s.firstSnapshot()
		}
		if backend == "bpf" {
			return err
		}
		s.log.Info("snapshots are read from /proc", "why", err)
	}
	r, err := procfs.Open(procfs.Options{Root: s.cfg.Root, Hierarchy: s.hierarchy})
	if err != nil {
		return err
	}
	s.host, s.id.Backend = procHost{r}, "proc"
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
	return s.checkOnline(&first)
}

// openEnforcer takes the lock, heals what a killed predecessor left, and starts
// to follow forks where the kernel can tell of them.
func (s *session) openEnforcer() error {
	cfg := affinity.Config{
		Root: s.cfg.Root, StateDir: s.cfg.StateDir,
		Kind: affinity.KindAffinity, Cgroup: s.cgroup, Log: s.log,
	}
	if s.cfg.Backend == backendCPUSet {
		cfg.Kind = affinity.KindCPUSet
	}
	var err error
	if s.marks, err = openMarks(&cfg); err != nil {
		s.log.Info("narrowed masks are told apart by lineage, not by marks", "why", err)
	}
	forks, err := bpf.OpenForks()
	if err != nil {
		s.log.Info("forks are followed in snapshots", "why", err)
	} else {
		s.forks = &forkTracer{forks: forks, beside: cfg.Kind != affinity.KindCPUSet, log: s.log}
		cfg.Forks = forks
	}
	if forks != nil && cfg.Kind != affinity.KindCPUSet {
		if err := forks.WatchPins(); err != nil {
			s.log.Info(pinsLost[s.marks == nil], "why", err)
		}
	}
	enforcer, report, err := affinity.Open(cfg)
	if err != nil {
		return s.cfg.stateHint(err)
	}
	s.enforcer = enforcer
	if report.Restored+report.Inherited+report.Failed+report.Foreign > 0 {
		s.log.Info("healed what a killed mllbd left", "report", report.String())
	}
	for _, note := range report.Lines() {
		s.log.Warn(note)
	}
	if s.forks != nil {
		go s.forks.run(enforcer)
	}
	return nil
}

// pinsLost is what masks that owners set are lost where nobody tells of them, by
// whether marks are lacking as well.
var pinsLost = map[bool]string{
	false: "a mask that an owner sets at the very moment at which mllbd changes it may be lost",
	true:  "a mask that an owner sets at the very moment at which mllbd changes it may be lost, and a child that pins itself to the CPU that its parent is held on loses that",
}

// openMarks has the enforcer tell masks that mllb set from their owners' for
// certain, where the kernel lets it; the reader is to be closed after it.
func openMarks(cfg *affinity.Config) (*bpf.Reader, error) {
	if cfg.Kind == affinity.KindCPUSet {
		return nil, errors.New("a cpuset has no marks")
	}
	r, err := bpf.OpenLook(bpf.Options{Root: cfg.Root})
	if err == nil {
		cfg.Marks = r
	}
	return r, err
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
	forks  *bpf.Forks
	beside bool // see affinity.Enforcer
	log    *slog.Logger
}

func (f *forkTracer) run(e *affinity.Enforcer) {
	if f.beside {
		e.Beside()
	}
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
