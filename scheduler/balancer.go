// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"time"

	"mllb/features"
	"mllb/topology"
)

// Defaults of Config.
const (
	DefaultBudget   = 4
	DefaultCoolDown = 500 * time.Millisecond
)

// Balancer plans, tick by tick, which threads should run where. It does not
// lock: one goroutine uses it.
type Balancer struct {
	cfg    Config
	policy Policy
	budget int
	layout *layout
	state  state
	pass   pass
	plan   Plan
}

// state is what one tick leaves to the next. Plan only reads it.
type state struct {
	failed  [topology.NumLevels][]uint32 // sd.nr_balance_failed by level and destination CPU
	seen    []uint8                      // by domain: ticks in a row with an imbalance
	busy    []bool                       // by CPU: it had something to run at the last tick
	grades  []uint8                      // by CPU: what speed counted for at the last tick, or 0
	slow    []int64                      // by CPU: since when a faster one has been idle, or 0
	pushed  int64                        // when a running thread was last pushed
	cool    map[features.ID]int64        // until when a thread that moved is left alone, ns
	pruneAt int64
}

// effect is what a plan does to the state when it is committed.
type effect struct {
	layout     *layout
	attempts   []attempt
	imbalanced []bool // by domain: threads could be moved to even it out
	tried      []bool // by domain: it has attempts
	busy       []bool // by CPU
	grades     []uint8
	slow       []int64
	warming    bool // a queued thread is no load, or not to be held, only until it ran for longer
}

// attempt is one destination CPU's try in one domain: hold is the index in
// Plan.Holds of what it moved, or -1 if it failed.
type attempt struct {
	level topology.Level
	dst   int32
	hold  int32
}

// NewBalancer returns a balancer for the machine t that asks p.
func NewBalancer(t *topology.Topology, cfg Config, p Policy) *Balancer {
	if cfg.CoolDown == 0 {
		cfg.CoolDown = DefaultCoolDown
	}
	b := &Balancer{cfg: cfg, policy: p}
	b.state.cool = make(map[features.ID]int64)
	b.SetTopology(t)
	return b
}

// SetTopology makes t the machine, as after CPU hotplug. Cool-downs go on;
// what was counted by domain starts anew.
func (b *Balancer) SetTopology(t *topology.Topology) {
	b.layout = newLayout(t)
	b.budget = b.cfg.Budget
	if b.budget == 0 {
		b.budget = max(DefaultBudget, t.Online.Count()/2)
	}
	for l := range b.state.failed {
		b.state.failed[l] = make([]uint32, len(t.CPUs))
	}
	b.state.seen = make([]uint8, len(b.layout.domains))
	b.state.busy = make([]bool, len(t.CPUs))
	b.state.grades = make([]uint8, len(t.CPUs))
	b.state.slow = make([]int64, len(t.CPUs))
}

// SetPolicy makes p the policy from the next plan on.
func (b *Balancer) SetPolicy(p Policy) { b.policy = p }

// Plan says what should change now. It is a pure function of the snapshot, the
// state that earlier commits left, and the policy: asked again it answers the
// same. The plan is valid until the next call.
func (b *Balancer) Plan(s *features.Snapshot) *Plan {
	p := &b.pass
	p.begin(b, s)
	for i := range b.layout.domains {
		p.balance(&b.layout.domains[i])
	}
	p.fitMisfit()
	p.holdInPlace()
	return &b.plan
}

// Commit advances the state by a plan made from s. errs holds one error for
// each of plan.Holds, nil where it took effect; errs itself nil stands for no
// error. A move that did not take effect starts no cool-down, and is neither a
// success nor a failure of its destination.
func (b *Balancer) Commit(s *features.Snapshot, plan *Plan, errs []error) {
	done := func(hold int32) bool { return errs == nil || int(hold) < len(errs) && errs[hold] == nil }
	b.prune(s.Time)
	for i := range plan.Candidates {
		c := &plan.Candidates[i]
		if c.Hold < 0 || !done(c.Hold) {
			continue
		}
		if b.cfg.CoolDown > 0 {
			b.state.cool[s.Threads[c.Thread].ID] = s.Time + int64(b.cfg.CoolDown)
		}
		if c.Active {
			b.state.pushed = s.Time
		}
	}
	e := &plan.effect
	if e.layout != b.layout {
		return // planned for the machine as it was before a hotplug
	}
	copy(b.state.busy, e.busy)
	copy(b.state.grades, e.grades)
	copy(b.state.slow, e.slow)
	for i := range b.layout.domains {
		b.settle(&b.layout.domains[i], e.imbalanced[i], e.tried[i])
	}
	b.count(e.attempts, done)
}

// settle keeps a domain's counters: how long it has been out of balance, and
// no failures once it no longer is (sched_balance_rq, out_balanced).
func (b *Balancer) settle(d *domain, imbalanced, tried bool) {
	switch seen := &b.state.seen[d.id]; {
	case !imbalanced:
		*seen = 0
	case *seen < d.ticks:
		*seen++
	}
	if !tried {
		for _, cpu := range d.cpus {
			b.state.failed[d.level][cpu] = 0
		}
	}
}

// maxFailed bounds nr_balance_failed beyond what makes a difference.
const maxFailed = 16

// count keeps nr_balance_failed. Successes come second: a CPU that pulled one
// thread and was refused the next has not failed.
func (b *Balancer) count(attempts []attempt, done func(int32) bool) {
	for _, a := range attempts {
		if f := &b.state.failed[a.level][a.dst]; a.hold < 0 && *f < maxFailed {
			*f++
		}
	}
	for _, a := range attempts {
		if a.hold >= 0 && done(a.hold) {
			b.state.failed[a.level][a.dst] = 0
		}
	}
}

// prune forgets cool-downs that have passed, about once in each.
func (b *Balancer) prune(now int64) {
	if now < b.state.pruneAt {
		return
	}
	for id, until := range b.state.cool {
		if until <= now {
			delete(b.state.cool, id)
		}
	}
	b.state.pruneAt = now + int64(b.cfg.CoolDown)
}
