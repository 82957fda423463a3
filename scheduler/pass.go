// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"

	"mllb/features"
)

// pass is the memory of one balance pass, reused by the next.
type pass struct {
	cfg    *Config
	policy Policy
	active bool // active balance is allowed
	hold   HoldPolicy
	layout *layout
	state  *state
	s      *features.Snapshot
	plan   *Plan

	left     int  // of the budget
	uniform  bool // all CPUs are as fast
	queues   []queue
	raw      []entry  // queued threads in the order of the snapshot
	entries  []entry  // the same by CPU
	fresh    []int32  // threads to be held where they are, unless moved
	moved    []uint64 // set of threads in Plan.Holds with a move
	ups      []bool   // by CPU: see up
	coreBusy []int32  // by core: CPUs with something to run
	triedCPU []uint32 // by CPU: the pull in which it was tried as a source
	triedGrp []uint32 // by group
	pullID   uint32
}

// begin buckets the snapshot's threads and empties the plan.
func (p *pass) begin(b *Balancer, s *features.Snapshot) {
	p.cfg, p.policy, p.layout, p.state, p.s, p.plan = &b.cfg, b.policy, b.layout, &b.state, s, &b.plan
	passive, ok := b.policy.(activeForbidder)
	p.active = !ok || !passive.NoActive()
	if p.hold = b.cfg.Hold; p.hold == HoldWorth && !p.active {
		p.hold = HoldBusy // a policy that keeps threads where they are keeps all
	}
	p.left = b.budget
	p.plan.Candidates, p.plan.Holds = p.plan.Candidates[:0], p.plan.Holds[:0]
	p.findUps()
	if p.collect(momentary) == 0 {
		p.collect(0) // a reader without runnable_avg: everything counts
	}
	p.bucket()
	p.grade()
	p.moved = zeroed(p.moved, (len(s.Threads)+63)/64)
	p.startEffect()
	p.countCores()
	p.triedCPU = zeroed(p.triedCPU, len(p.queues))
	p.triedGrp = zeroed(p.triedGrp, len(p.queues)) // a domain has no more groups than CPUs
	p.pullID = 0
}

func (p *pass) startEffect() {
	e := &p.plan.effect
	e.layout, e.attempts = p.layout, e.attempts[:0]
	e.imbalanced = zeroed(e.imbalanced, len(p.layout.domains))
	e.tried = zeroed(e.tried, len(p.layout.domains))
	e.busy = zeroed(e.busy, len(p.queues))
	for i := range p.queues {
		e.busy[i] = p.queues[i].len > 0
	}
}

func (p *pass) countCores() {
	p.coreBusy = zeroed(p.coreBusy, len(p.layout.topo.Cores))
	for i := range p.queues {
		if p.queues[i].len > 0 {
			p.coreBusy[p.layout.core[i]]++
		}
	}
}

func (p *pass) isMoved(thread int32) bool { return p.moved[thread>>6]&(1<<(thread&63)) != 0 }

// zeroed returns s with length n and every element zero.
func zeroed[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}
