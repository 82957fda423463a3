// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math"

	"mllb/topology"
)

// push is active balance: it moves a running thread to an idle CPU where
// nothing that waits could be moved, and reports whether it did. Two things
// call for it, as in the kernel: attempts that went on failing
// (imbalanced_active_balance), and a core that runs two threads while another
// core is idle (group_smt_balance). The second is close by and certain to
// help, so one failed attempt is enough.
func (p *pass) push(pl *pull) bool {
	if !p.active || pl.d.level == topology.SMT || !pl.d.close() && !p.lasted(pl.d) {
		return false
	}
	p.pullID++
	pl.push, pl.load = true, math.MinInt32
	at := p.search(pl)
	if at < 0 {
		return false
	}
	e := &p.entries[at]
	due := p.due(pl, e)
	pl.failed = pl.failed || !due
	return p.activate(pl, e, due)
}

// activate pushes a running thread to the pulling CPU if that is due, and reports whether
// it did.
func (p *pass) activate(pl *pull, e *entry, due bool) bool {
	p.plan.Candidates = append(p.plan.Candidates, Candidate{
		Thread: e.thread, From: e.cpu, To: pl.dst, Level: pl.d.level, Reason: OnCPU, Active: due, Hold: -1,
	})
	if !due {
		return false
	}
	c := &p.plan.Candidates[len(p.plan.Candidates)-1]
	c.Gain = p.gain(e, pl.dst)
	p.fill(&c.Decision, pl.d, &p.s.Threads[e.thread], e.cpu, pl.dst)
	if p.left <= 0 {
		c.Reason, p.left = OverBudget, -1
		return false
	}
	c.Reason = Moved
	p.move(pl, e, pl.dst)
	return true
}

// due reports whether enough attempts have failed.
func (p *pass) due(pl *pull, e *entry) bool {
	failed, core := p.state.failed[pl.d.level][pl.dst], p.layout.core
	if pl.d.close() && p.coreBusy[core[e.cpu]] >= 2 && p.coreBusy[core[pl.dst]] == 0 {
		return failed > 0
	}
	return failed > pl.d.tries+2
}

// running returns the running thread to push of the busy group's busiest CPU that
// has one, and is no faster than the idle one, as an index of the entries.
func (p *pass) running(pl *pull) int32 {
	best := int32(-1)
	for _, cpu := range pl.d.groups[pl.busy].cpus {
		q := &p.queues[cpu]
		if q.movable == 0 || q.speed > p.queues[pl.dst].speed || best >= 0 && !p.queues[p.entries[best].cpu].lighter(q) {
			continue
		}
		if at := p.pushable(pl, q); at >= 0 {
			best = at
		}
	}
	return best
}

// pushable returns the entry of a queue's running thread if it may be pushed, or -1. Of the guard
// the groups' half applies; the CPUs may change places.
func (p *pass) pushable(pl *pull, q *queue) int32 {
	for i := q.first; i < q.end; i++ {
		e := &p.entries[i]
		t := &p.s.Threads[e.thread]
		// A lone thread runs, or is just about to.
		if e.moved || !t.Running && q.len > 1 {
			continue
		}
		w := int64(e.weight)
		if r := p.hard(e, pl.dst); (r == OnCPU && !t.MigrationDisabled || r == Moved) && p.state.cool[t.ID] <= p.s.Time &&
			pl.d.groups[pl.here].permits(w) && shrinks(&pl.d.groups[pl.busy], &pl.d.groups[pl.here], w) {
			return i
		}
	}
	return -1
}
