// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scx"
	"mllb/topology"
)

// The backends: how plans are carried out.
const (
	backendAuto     = "auto"
	backendAffinity = "affinity"
	backendCPUSet   = "cpuset"
	backendSCX      = "scx"
)

// backends are the values of --backend.
var backends = []string{backendAuto, backendAffinity, backendCPUSet, backendSCX}

// sampleEvery: one of so many decisions of the sched_ext scheduler is an event.
const sampleEvery = 16

// schedExtInterval is how often mllbd looks at the sched_ext scheduler at the most: that
// does not wait for it.
const schedExtInterval = time.Second

// openBackend makes ready to change something, unless mllbd only observes. The enforcer
// is there in every case: it has the lock, heals what a killed mllbd left, and is what
// --fallback goes on with.
func (s *session) openBackend() error {
	if s.cfg.Mode == "observe" {
		return nil
	}
	if err := s.openEnforcer(); err != nil {
		return err
	}
	back, left, err := scx.Restore(s.cfg.StateDir)
	if back+left > 0 || err != nil {
		s.log.Info("healed what a killed mllbd left in SCHED_EXT", "threads", back, "left", left, "err", err)
	}
	if s.id.Enforcer = s.cfg.Backend; s.cfg.Backend == backendAuto {
		s.id.Enforcer = backendAffinity
		if s.cfg.Mode == "own" && !s.cfg.scoped() {
			if err := cmp.Or(s.cfg.nothingExcluded(), s.schedExtFits()); err == nil {
				s.id.Enforcer = backendSCX
			} else {
				s.log.Info("threads are held by their masks", "why", err)
			}
		}
	}
	if s.id.Enforcer != backendSCX {
		s.openIdle()
		return nil
	}
	k := &schedExt{session: s}
	if err = s.schedExtFits(); err == nil {
		err = k.open()
	}
	switch {
	case err == nil:
		s.kernel = k
		return nil
	case s.cfg.Fallback != backendAffinity && s.cfg.Backend == backendSCX:
		return err
	}
	s.log.Warn("the sched_ext scheduler cannot be loaded: threads are held by their masks", "err", err)
	s.id.Enforcer = backendAffinity
	s.openIdle()
	return nil
}

// schedExt is the backend scx: the scheduler that is loaded, and the threads it is for.
// It is an observer of the loop, which plans nothing then.
type schedExt struct {
	*session
	scheduler *scx.Scheduler
	members   *scx.Members // nil: all of the fair class
	daemon    *scheduler.Daemon
	balancer  *scheduler.Balancer
	cancel    context.CancelFunc
	speeds    []uint32
	before    scx.Counters // of schedulers that were loaded before
	err       error        // why it ended
}

func (k *schedExt) open() error {
	var now features.Snapshot
	if err := k.host.Snapshot(&now); err != nil {
		return fmt.Errorf("read the host: %w", err)
	}
	if k.cfg.scoped() && k.members == nil {
		m, err := scx.Enlist(k.cfg.StateDir)
		if err != nil {
			return err
		}
		k.members = m
	}
	k.speeds = make([]uint32, len(k.topology.CPUs))
	var err error
	k.scheduler, err = scx.Open(scx.Config{
		Policy: k.cfg.Policy, Model: k.model, Partial: k.members != nil, Topology: k.topology,
		MigrationCost: time.Duration(now.MigrationCost), NUMABalancing: now.NUMABalancing, SampleEvery: sampleEvery,
	})
	if err != nil {
		return errors.Join(err, k.close())
	}
	k.scope.Ext = true
	return nil
}

// loaded reports whether the kernel asks mllb's scheduler.
func (k *schedExt) loaded() bool { return k != nil && k.scheduler != nil }

// steer has the daemon look on.
func (k *schedExt) steer(d *scheduler.Daemon, b *scheduler.Balancer) {
	k.daemon, k.balancer = d, b
	d.Planner, d.Other, d.Interval = noPlan{}, nil, max(d.Interval, schedExtInterval)
	if k.cfg.Cgroup != "" {
		d.Awake = nil // to see threads that left the cgroup: it knows those of the fair class that are awake
	}
}

// noPlan plans nothing: the scheduler is in the kernel.
type noPlan struct{}

var nothing scheduler.Plan

func (noPlan) Plan(*features.Snapshot) *scheduler.Plan             { return &nothing }
func (noPlan) Commit(*features.Snapshot, *scheduler.Plan, []error) {}
func (noPlan) SetTopology(*topology.Topology)                      {}

// Tick implements scheduler.Observer.
func (k *schedExt) Tick(t *scheduler.Tick) {
	if !k.loaded() {
		return // it is over
	}
	if err := k.scheduler.Ended(); err != nil {
		k.ended(err)
		return
	}
	k.count()
	k.sampled()
	if t.Snapshot == nil {
		return
	}
	k.enlist(t.Snapshot)
	k.setSpeeds(t.Snapshot)
}

// count has the statistics hold what the scheduler counted.
func (k *schedExt) count() {
	c, err := k.scheduler.Counters()
	if err != nil {
		k.log.Debug("what the scheduler counts is not known", "err", err)
		return
	}
	c.Add(&k.before)
	k.stats.mu.Lock()
	defer k.stats.mu.Unlock()
	k.stats.c.Asked, k.stats.c.Approved, k.stats.c.Moves = c.Asked, c.Approved, c.Pulled
	k.stats.c.OutOfDistribution = c.Unknown
	k.stats.c.Kernel = &c
}

// sampled has the decisions that were sampled be events.
func (k *schedExt) sampled() {
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		return
	}
	now, at := time.Now(), time.Duration(clock.Nano())
	var d scx.Sample
	for k.scheduler.SetDeadline(time.Unix(0, 0)); ; { // no waiting
		err := k.scheduler.Next(&d)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			k.log.Debug("a sample makes no sense", "err", err)
			return
		}
		k.rule(&d)
		k.watcher.sample(now.Add(d.Time-at), &d)
		if k.events != nil {
			k.events.sample(now.Add(d.Time-at), &d)
		}
	}
}

// rule counts how often the network answers as the rule that it imitates would.
func (k *schedExt) rule(d *scx.Sample) {
	if k.model == nil {
		return
	}
	says := scheduler.CFS{}.Decide(&d.Decision)
	k.stats.mu.Lock()
	defer k.stats.mu.Unlock()
	c := k.stats.c.Rule
	if c == nil {
		c = &compared{Whose: "policy cfs's"}
		k.stats.c.Rule = c
	}
	c.By[label(says.Migrate)][label(d.Verdict.Migrate)]++
	if d.Verdict.OutOfDistribution {
		c.OutOfDistribution++
	}
}

// enlist makes what is in the scope members, and those that left it no more. What CMD
// starts is of SCHED_EXT by birth.
func (k *schedExt) enlist(s *features.Snapshot) {
	if k.members == nil || k.cfg.Cgroup == "" {
		return
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		var err error
		switch {
		case t.Managed && t.Policy == features.SchedOther:
			err = k.members.Add(t.ID)
		case !t.Managed && t.Policy == features.SchedExt && k.members.Added(t.ID):
			err = k.members.Remove(t.ID)
		}
		if err != nil && !errors.Is(err, scx.ErrGone) && !errors.Is(err, scx.ErrChanged) {
			k.log.Warn("a thread's scheduling policy stays as it is", "tid", t.TID, "comm", t.Name(), "err", err)
		}
	}
	k.members.Forget(s)
}

// setSpeeds tells the scheduler what CPUs are worth now.
func (k *schedExt) setSpeeds(s *features.Snapshot) {
	for cpu := range min(len(k.speeds), len(s.Runqueues)) {
		now := s.Runqueues[cpu].Speed
		if now == k.speeds[cpu] {
			continue
		}
		k.speeds[cpu] = now
		if err := k.scheduler.SetSpeed(cpu, now); err != nil {
			k.log.Debug("what a CPU is worth is not passed on", "cpu", cpu, "err", err)
		}
	}
}

// ended deals with the kernel having ended the scheduler.
func (k *schedExt) ended(err error) {
	k.count()
	k.stats.mu.Lock()
	k.before = scx.Counters{}
	if c := k.stats.c.Kernel; c != nil {
		k.before = *c
	}
	k.stats.c.SchedExtExits++
	k.stats.mu.Unlock()
	var exit *scx.Exit
	if errors.As(err, &exit) && exit.Restart() {
		k.log.Info("the scheduler is loaded again", "why", err)
		if err = k.again(); err == nil {
			return
		}
	}
	if k.err = errors.Join(err, k.close()); k.cfg.Fallback != backendAffinity {
		k.log.Error("the kernel schedules by itself again", "why", err)
		k.cancel()
		return
	}
	k.log.Error("the kernel schedules by itself again: threads are held by their masks from now on", "why", err)
	k.err = nil
	k.id.Enforcer = backendAffinity
	k.fallBack()
}

// again loads the scheduler for the CPUs that are there now.
func (k *schedExt) again() (err error) {
	if err := k.scheduler.Close(); err != nil {
		return err
	}
	k.scheduler = nil
	if k.topology, err = k.topologyNow(); err != nil {
		return err
	}
	return k.open()
}

// fallBack has the daemon balance from outside.
func (k *schedExt) fallBack() {
	d := k.daemon
	d.Planner, d.Enforcer, d.Other, d.Interval = k.balancer, k.enforcer, k.cfg.schedExt, k.cfg.Interval
	k.scope.Ext = false
	k.openIdle()
	if k.idle != nil {
		d.Starved, d.Watch = k.idle.starved, k.idle.arm
	}
	k.identify()
}

// swap has another policy decide.
func (k *schedExt) swap() {
	if !k.loaded() {
		return
	}
	if err := k.scheduler.Swap(k.cfg.Policy, k.model); err != nil {
		k.log.Error("the model before goes on deciding", "err", err)
	}
}

// start starts CMD, of SCHED_EXT if the scheduler is for it.
func (k *schedExt) start(command []string, as *account) (*child, error) {
	if k == nil {
		return startChild(command, as)
	}
	done, err := scx.Ask()
	if err != nil {
		return nil, err
	}
	c, err := startChild(command, as)
	return c, errors.Join(err, done())
}

// close unloads the scheduler and puts its threads back.
func (k *schedExt) close() error {
	var errs []error
	if k.scheduler != nil {
		errs = append(errs, k.scheduler.Close())
		k.scheduler = nil
	}
	if k.members != nil {
		back, left, err := k.members.Close()
		if left > 0 {
			err = errors.Join(err, fmt.Errorf("%d threads are of SCHED_EXT still; try mllbd restore --state-dir %s", left, k.cfg.StateDir))
		}
		errs = append(errs, err)
		k.members = nil
		k.log.Info("the sched_ext scheduler is unloaded", "threads_put_back", back)
	}
	return errors.Join(errs...)
}
