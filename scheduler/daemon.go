// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mllb/features"
	"mllb/topology"
)

// ChangeDetector is a Host that can tell, for much less than a snapshot costs,
// that no CPU's number of runnable threads changed since Snapshot filled s, nor
// which CPUs are online. When in doubt it says false.
type ChangeDetector interface {
	Unchanged(s *features.Snapshot) (bool, error)
}

// Scope says which threads are ours to move.
type Scope interface {
	// Mark clears Managed of every thread of s that is out of scope. It never
	// sets it: an enforcer may have cleared it before.
	Mark(s *features.Snapshot)
}

// Planner decides what a tick changes. *Balancer is one.
type Planner interface {
	Plan(s *features.Snapshot) *Plan
	Commit(s *features.Snapshot, plan *Plan, errs []error)
	SetTopology(t *topology.Topology)
}

// Observer is told of every tick, on the daemon's own goroutine.
type Observer interface {
	Tick(t *Tick)
}

// Tick is what one tick did. It and what it points to are valid only until
// Observer.Tick returns.
type Tick struct {
	Start    time.Time
	Took     time.Duration
	Dropped  uint64 // ticks that were dropped before this one, because it came late
	Early    bool   // it was not due: a CPU had nothing to run while threads waited for another
	Held     int    // threads that are held after it
	Topology *topology.Topology

	// Skipped: the host is as the last full tick left it, at rest, and nothing
	// was read or done; Snapshot and Plan are nil.
	Skipped bool

	// Throttled: a full tick would have taken more than MaxCPU; nothing was read or
	// done, as with Skipped. LeftOut is how many ticks before this one were not even
	// woken for, for the same reason.
	Throttled bool
	LeftOut   uint64

	// Standby names the scheduler beside which the daemon changes nothing; "" if
	// there is none.
	Standby string

	// Err says why the tick failed; Snapshot and Plan are then nil.
	Err      error
	Snapshot *features.Snapshot
	Plan     *Plan

	// Errors[i] says why Plan.Holds[i] did not take effect, nil where it did;
	// ReleaseErrors likewise. Both are nil in observe, where nothing is tried.
	Errors        []error
	ReleaseErrors []error
}

// Moved reports whether the move of a candidate of the plan took effect.
func (t *Tick) Moved(c *Candidate) bool {
	return c.Hold >= 0 && t.Errors != nil && t.Errors[c.Hold] == nil
}

// ErrFailing is wrapped by the error with which Run gives up after too many
// failed ticks in a row.
var ErrFailing = errors.New("too many ticks failed in a row")

// Daemon runs the balance loop:
//
//	[affords -> Unchanged ->] Snapshot or Awake -> Speeds -> Sync -> Mark -> Plan -> Apply, Release -> Commit -> Observer
//
// features.Snapshot says which of these write to the snapshot, and what. The
// daemon changes the host only through its enforcer, has none in observe, and
// restores nothing itself: whoever opened the enforcer closes it, however Run
// ends.
type Daemon struct {
	Host     Host
	Awake    AwakeHost // the same, or nil: every snapshot has all threads
	Speeds   Speeds    // nil: no CPU's is known
	Scope    Scope
	Planner  Planner
	Enforcer Enforcer // nil in observe
	Observer Observer

	Self        int32 // the daemon's own process, which is no load; 0: not in the snapshots
	Interval    time.Duration
	Lease       time.Duration // what Apply is told: 0 in own
	MaxFailures int           // failed ticks in a row after which Run gives up
	MaxSkip     time.Duration // for how long ticks may be skipped at rest, if Host is a ChangeDetector; 0: never
	ForksTraced bool          // the enforcer hears of forks by itself, not only in Sync
	// MaxCPU is the share of one CPU that the daemon may take in the long run, by
	// CPUTime: beyond it, ticks are left out, though never for more than 10 s. 0: all of it.
	MaxCPU  float64
	CPUTime func() time.Duration
	MaxNap  time.Duration // for how long the daemon sleeps through ticks that MaxCPU leaves out
	// Other, if any, names another scheduler that places threads itself, "" while
	// there is none. Beside one the daemon gives back what it holds, and observes.
	Other func() (string, error)
	// Starved, if any, tells that a CPU went idle while threads wait for another, and
	// Watch whether the daemon wants to hear of the next time. The kernel cannot pull
	// what is held: an idle CPU should not have to wait for a tick.
	Starved  <-chan struct{}
	Watch    func(bool)
	Topology *topology.Topology
	// ReadTopology reads the topology again when CPUs went or came, and when
	// Changed, if any, says that others are left out than Topology has it.
	ReadTopology func() (*topology.Topology, error)
	Changed      func(*topology.Topology) bool
	Log          *slog.Logger

	snapshot  features.Snapshot
	whole     time.Time     // when the last snapshot of all threads was taken
	wholeCost time.Duration // how long that took
	managed   bool          // some thread is, or was
	tick      Tick
	left      []int32
	failures  int
	rested    bool      // the last full tick left nothing to do or to wait for
	full      time.Time // its start
	cpuBudget cpuBudget
	leftOut   uint64 // ticks that are not woken for before the next
	inVain    bool   // the last full tick was early, and changed nothing
	other     string
}

// Run ticks until ctx ends, which is no error, or until MaxFailures ticks
// failed in a row. The first tick comes at once. A tick that takes longer than
// the interval makes the next ones drop, never burst.
func (d *Daemon) Run(ctx context.Context) error {
	ticker := time.NewTicker(d.Interval)
	defer ticker.Stop()
	last := time.Now()
	due := true
	for ctx.Err() == nil {
		var err error
		if now := time.Now(); due {
			missed := uint64(max(0, (now.Sub(last)+d.Interval/2)/d.Interval-1))
			d.leftOut = min(d.leftOut, missed)
			last = now
			err = d.Tick(ctx, now, missed-d.leftOut)
			if n := d.leaveOut(now); n != d.leftOut {
				d.leftOut = n
				ticker.Reset(d.Interval * time.Duration(1+n))
			}
		} else {
			err = d.Early(ctx, now)
		}
		if err != nil {
			return err
		}
		due = false
		select {
		case <-ctx.Done():
		case <-ticker.C:
			due = true
		case <-d.Starved:
		}
	}
	return nil
}

// Tick runs one tick and tells the observer. It returns an error only if the
// daemon is to end.
func (d *Daemon) Tick(ctx context.Context, now time.Time, dropped uint64) error {
	t := Tick{Start: now, Dropped: dropped, LeftOut: d.leftOut}
	afford := d.affords(now)
	if t.Standby = d.standby(); t.Standby != "" && d.held() > 0 {
		return d.do(ctx, t) // at any cost
	}
	if t.Throttled = !afford; !t.Throttled {
		t.Skipped = d.skippable(now)
	}
	return d.do(ctx, t)
}

// Early makes a tick that is not due, unless it would take too much CPU time: a
// CPU starves. If it changes nothing, what is wrong waits until one is due.
func (d *Daemon) Early(ctx context.Context, now time.Time) error {
	if !d.affords(now) {
		return nil // the next tick asks to be told again
	}
	return d.do(ctx, Tick{Start: now, Early: true, Standby: d.standby()})
}

// standby asks for another scheduler, and says when one came or went.
func (d *Daemon) standby() string {
	if d.Other == nil || d.Enforcer == nil {
		return ""
	}
	other, err := d.Other()
	switch {
	case err != nil:
		d.Log.Debug("whether there is another scheduler is not known", "err", err)
		return d.other
	case other == d.other, other != "" && d.other != "": // on its way in or out
	case other != "":
		d.Log.Warn("another scheduler places threads: masks are given back, and nothing is changed beside it", "scheduler", other)
		d.rested = false
	default:
		d.Log.Info("the other scheduler is gone: balancing again", "scheduler", d.other)
		d.rested = false
	}
	d.other = other
	return other
}

// do makes a tick of which is known when it began, and whether it is left out.
func (d *Daemon) do(ctx context.Context, t Tick) error {
	now := t.Start
	d.tick = t
	d.tick.Topology = d.Topology
	var err error
	if !t.Throttled && !t.Skipped {
		d.rested, d.inVain, d.full = false, false, now
		if err = d.once(ctx); err != nil {
			d.tick.Err, d.tick.Snapshot, d.tick.Plan = err, nil, nil
		}
		d.paid()
	}
	d.tick.Held = d.held()
	d.tick.Took = time.Since(now)
	if d.Watch != nil {
		d.Watch(d.tick.Held > 0 && !d.inVain && d.failures == 0 && err == nil)
	}
	d.Observer.Tick(&d.tick)
	if err == nil {
		d.failures = 0
		return nil
	}
	d.failures++
	d.Log.Warn("tick failed", "err", err, "in_a_row", d.failures)
	if d.failures >= d.MaxFailures {
		return fmt.Errorf("%w: %d, the last: %w", ErrFailing, d.failures, err)
	}
	return nil
}

func (d *Daemon) once(ctx context.Context) error {
	s := &d.snapshot
	if err := d.read(s); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := d.follow(s); err != nil {
		return err
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		t.Managed = true // until the enforcer or the scope says no
		if t.TGID == d.Self && t.Queued() {
			discount(s, t)
		}
	}
	if d.Speeds != nil {
		d.Speeds.Speeds(s)
	}
	if d.Enforcer != nil {
		if err := d.Enforcer.Sync(s); err != nil {
			return fmt.Errorf("sync holds: %w", err)
		}
	}
	d.Scope.Mark(s)
	d.managed = d.managed || slices.ContainsFunc(s.Threads, func(t features.Thread) bool { return t.Managed })
	plan := d.Planner.Plan(s)
	d.tick.Snapshot, d.tick.Plan = s, plan
	if ctx.Err() != nil {
		return nil // told to end while it planned: change no more
	}
	if d.Enforcer != nil {
		if d.tick.Standby == "" {
			d.tick.Errors = d.Enforcer.Apply(s, plan.Holds, d.Lease)
			d.tick.ReleaseErrors = d.Enforcer.Release(s, plan.Releases)
		}
		d.letGo(s)
	}
	// In observe there are no errors, and the planner goes on as if its plan
	// had been carried out: it does not predict one move over and over.
	d.Planner.Commit(s, plan, d.tick.Errors)
	d.inVain = d.tick.Early && len(plan.Holds)+len(plan.Releases) == 0
	d.rested = d.atRest(plan)
	return nil
}

// read takes a snapshot, of no more threads than it takes.
func (d *Daemon) read(s *features.Snapshot) error {
	if d.Awake != nil && !d.needsAll(s) {
		return d.Awake.Awake(s)
	}
	began := time.Now()
	if err := d.Host.Snapshot(s); err != nil {
		return err
	}
	d.whole, d.wholeCost = d.tick.Start, time.Since(began)
	return nil
}

// While no thread is managed, all are read now and then, to say why: not more often
// than each lookEvery, nor for more than a lookShare-th of the time.
const (
	lookEvery = 500 * time.Millisecond
	lookShare = 200
)

func (d *Daemon) needsAll(s *features.Snapshot) bool {
	s.Keep = s.Keep[:0]
	if d.Enforcer != nil && d.Enforcer.Follow(s) || d.whole.IsZero() {
		return true
	}
	return !d.managed && d.tick.Start.Sub(d.whole) >= max(lookEvery, lookShare*d.wholeCost)
}

// discount takes a thread of the daemon's own out of its runqueue. One always
// runs while a snapshot is taken, and sleeps until the next: counted as load it
// would hide an imbalance of two threads on the CPU that it happens to be on.
func discount(s *features.Snapshot, t *features.Thread) {
	t.State, t.Running = 'S', false
	if t.CPU < 0 || int(t.CPU) >= len(s.Runqueues) {
		return
	}
	rq := &s.Runqueues[t.CPU]
	rq.NrRunning -= min(rq.NrRunning, 1)
	rq.NrQueued -= min(rq.NrQueued, 1)
}

// letGo releases what is held but left the scope, such as a thread that went to
// another cgroup or became a real-time one: no plan will ever name it again.
// Beside another scheduler it releases everything.
func (d *Daemon) letGo(s *features.Snapshot) {
	d.left = d.left[:0]
	for i := range s.Threads {
		if t := &s.Threads[i]; t.Hold >= 0 && (!t.Managed || d.tick.Standby != "") {
			d.left = append(d.left, int32(i))
		}
	}
	if len(d.left) == 0 {
		return
	}
	for i, err := range d.Enforcer.Release(s, d.left) {
		if err != nil {
			d.Log.Warn("thread that is to be let go is still held", "tid", s.Threads[d.left[i]].TID, "err", err)
		}
	}
}

// follow reads the topology again when the CPUs that are online, or left out, are
// no longer those it knows. A tick that cannot is given up: a plan must not
// name a CPU that is gone.
func (d *Daemon) follow(s *features.Snapshot) error {
	was := d.Topology
	if d.ReadTopology == nil || sameOnline(s.Runqueues, was.Online) && (d.Changed == nil || !d.Changed(was)) {
		return nil
	}
	t, err := d.ReadTopology()
	if err != nil {
		return fmt.Errorf("read topology after hotplug: %w", err)
	}
	if t.Online.Equal(was.Online) && topology.SameLeftOut(t.LeftOut, was.LeftOut) {
		return nil // a container's own list, which stays as it is
	}
	d.Log.Info("cpus changed", "online", t.Online.String(), "before", was.Online.String(),
		"left_out", topology.DescribeLeftOut(t.LeftOut), "left_out_before", topology.DescribeLeftOut(was.LeftOut))
	d.Topology, d.tick.Topology = t, t
	d.Planner.SetTopology(t)
	return nil
}

func sameOnline(queues []features.Runqueue, online topology.CPUSet) bool {
	n := 0
	for cpu := range queues {
		if queues[cpu].Online {
			if !online.Has(cpu) {
				return false
			}
			n++
		}
	}
	return n == online.Count()
}
