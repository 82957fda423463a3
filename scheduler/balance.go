// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"mllb/features"
	"mllb/topology"
)

// The balance pass walks the domains bottom-up, as the kernel does
// (sched_balance_rq and below, kernel/sched/fair.c, 6.12), and plans what all
// of a host's CPUs would pull, each move seeing the ones before it:
//
//	domain (machine)        busiest group               local group
//	                        node 0, load 4/CPU          node 1, load 1/CPU
//	                       +-------+-------+           +-------+-------+
//	  its CPUs' queues     | ##### |  ###  |           |   ##  |       |
//	                       +-------+-------+           +-------+-------+
//	                           |  busiest queue,             ^ eligible CPU: idle on
//	                           |  coldest candidate          | an idle core, else idle,
//	                           +-----------------------------+ else the least loaded
//
// Load is the sum of the static weights of the threads that run or wait, of
// all of them, managed or not; groups and CPUs compare by load per speed (see
// speed.go). For each group,
// the least loaded first, a CPU of it pulls from the busiest group whose load
// exceeds its own by the domain's margin, one thread after the other, until no
// more can be corrected:
//
//   - Hard conditions come first: ours to move, allowed by its owner, not
//     running, not pinned, not cooling down.
//   - Then the guard: afterwards the source must still be at least as loaded
//     as the destination, both as groups and as CPUs. A move of weight w so
//     needs a gap of 2w, shrinks the sum of squared loads, never widens the
//     range, and is never worth undoing: a steady load comes to rest.
//   - Then the tick's budget, and last the policy.
//
// Caution grows with distance. Within a last-level cache two queues may differ
// by one thread, beyond it groups by a margin (levels, imbalancePct). Beyond
// it, too, an imbalance must last (ticks), unless an idle CPU meets a queue
// with waiting threads; and between nodes a group gets at most half of what it
// lacks in one tick.
//
// Where only running threads are left to pull for an idle CPU, active balance
// may push one, and no policy is asked (need_active_balance, LBF_ACTIVE_LB). At
// the end a thread alone on a slow CPU may be pushed to a faster one (misfit.go).

// sched_nr_migrate (kernel/sched/features.h, 6.12): how many threads a CPU
// looks at before it gives up.
const maxLooks = 32

// pull is one CPU's attempt to get one thread.
type pull struct {
	d          *domain
	busy, here int // groups
	dst        int32
	idle       bool  // dst is, on a machine whose CPUs differ in speed
	push       bool  // a running thread is looked for, not one that waits
	load       int64 // dst's, or if push less than any: see hopeless
	speed      int64 // dst's
	looks      int   // left
	waiting    bool  // some thread was not running and ours to move, but for the cool-down
	failed     bool  // the policy said stay, or all that could be moved is running
}

func (p *pass) balance(d *domain) {
	if !p.imbalanced(d) {
		return
	}
	p.plan.effect.imbalanced[d.id] = true
	for i := range d.groups {
		g := &d.groups[i]
		g.quota, g.moved, g.done = unset, false, false
	}
	for p.left >= 0 {
		here := d.neediest(p.uniform)
		if here < 0 {
			return
		}
		pl := pull{d: d, here: here}
		d.groups[here].done = !p.pull(&pl)
	}
}

// imbalanced sums the groups' loads and reports whether any thread at all
// could be worth moving, which for most domains it is not.
func (p *pass) imbalanced(d *domain) bool {
	lo, hi, lightest := 0, 0, int32(noWeight)
	for i := range d.groups {
		g := &d.groups[i]
		g.load, g.capacity, g.slowest, g.top, g.lightest = 0, 0, fullGrade, 0, noWeight
		for _, cpu := range g.cpus {
			q := &p.queues[cpu]
			g.load += q.load
			g.capacity += int32(q.speed)
			g.slowest = min(g.slowest, uint8(q.speed))
			g.top = max(g.top, q.load)
			if q.movable > 0 {
				g.lightest = min(g.lightest, q.lightest)
			}
		}
		lightest = min(lightest, g.lightest)
		if heavier(g, &d.groups[hi]) {
			hi = i
		}
		if heavier(&d.groups[lo], g) {
			lo = i
		}
	}
	a, b := &d.groups[hi], &d.groups[lo]
	return lightest != noWeight && (shrinks(a, b, int64(lightest)) || slower(b, a) && contains(a, b, int64(lightest))) &&
		(d.close() || exceeds(a, b, levels[d.level].pct))
}

// pull lets one CPU of a group pull one thread, and reports whether it did.
func (p *pass) pull(pl *pull) bool {
	pl.d.setQuota(pl.here)
	pl.dst = p.eligible(pl.d, pl.here)
	if pl.dst < 0 {
		return false
	}
	pl.load, pl.speed, pl.looks = p.queues[pl.dst].load, p.queues[pl.dst].speed, maxLooks
	pl.idle = !p.uniform && p.queues[pl.dst].len == 0
	p.pullID++
	for pl.looks > 0 && p.left >= 0 {
		src := p.search(pl)
		if src < 0 {
			break
		}
		p.triedCPU[src] = p.pullID
		if p.take(pl, src) {
			return true
		}
	}
	if p.left < 0 {
		return false
	}
	if !pl.waiting && p.queues[pl.dst].len == 0 && p.push(pl) {
		return true
	}
	if pl.failed {
		p.fail(pl)
	}
	return false
}

// eligible is should_we_balance(): the CPU of a group that pulls for it. Of those
// that are alike in this it is the fastest.
func (p *pass) eligible(d *domain, here int) int32 {
	whole, idle, least := int32(-1), int32(-1), int32(-1)
	for _, cpu := range d.groups[here].cpus {
		if !p.up(cpu) {
			continue
		}
		q := &p.queues[cpu]
		if q.len == 0 {
			if d.level == topology.SMT || p.coreBusy[p.layout.core[cpu]] == 0 {
				if p.uniform {
					return cpu
				}
				if whole < 0 || q.lighter(&p.queues[whole]) {
					whole = cpu
				}
			}
			if idle < 0 || q.lighter(&p.queues[idle]) {
				idle = cpu
			}
		}
		if least < 0 || q.lighter(&p.queues[least]) {
			least = cpu
		}
	}
	switch {
	case whole >= 0:
		return whole
	case idle >= 0:
		return idle
	}
	return least
}

// search is sched_balance_find_src_group(): of the groups that exceed the local
// one by the margin and have what is looked for, it takes the busiest, of equals
// the nearest, and returns the queue to pull from or the entry to push, or -1.
func (p *pass) search(pl *pull) int32 {
	for {
		pl.busy = -1
		best, here := &group{}, &pl.d.groups[pl.here]
		for i := range pl.d.groups {
			g := &pl.d.groups[i]
			if pl.hopeless(g) || heavier(best, g) || g == here {
				continue // most
			}
			if p.triedGrp[i] != p.pullID && pl.busier(i, pl.busy) {
				pl.busy, best = i, g
			}
		}
		if pl.busy < 0 {
			return -1
		}
		at := int32(-1)
		if pl.push {
			at = p.running(pl)
		} else {
			at = p.busiest(pl)
		}
		if at >= 0 {
			return at
		}
		p.triedGrp[pl.busy] = p.pullID
	}
}

// busier reports whether a group may be pulled from, and rather than group best,
// which is no busier, if there is one. Once over the margin an imbalance is corrected in full, or the
// next bit of noise would bring it back.
func (pl *pull) busier(i, best int) bool {
	d := pl.d
	g, here := &d.groups[i], &d.groups[pl.here]
	if g.lightest == noWeight {
		return false
	}
	pct := d.margin(i, pl.here)
	if best >= 0 && !heavier(g, &d.groups[best]) && pct >= d.margin(best, pl.here) {
		return false
	}
	return pl.narrows(g, here, int64(g.lightest)) && (d.close() || here.moved || exceeds(g, here, pct))
}

// busiest picks the next queue of the busy group to pull from: the most loaded.
func (p *pass) busiest(pl *pull) int32 {
	best := int32(-1)
	for _, cpu := range pl.d.groups[pl.busy].cpus {
		if p.triedCPU[cpu] != p.pullID && (best < 0 || p.queues[best].lighter(&p.queues[cpu])) && p.worthwhile(pl, cpu) {
			best = cpu
		}
	}
	return best
}

// worthwhile reports whether a queue may hold a waiting thread worth pulling.
func (p *pass) worthwhile(pl *pull, src int32) bool {
	from, to, d := &p.queues[src], &p.queues[pl.dst], pl.d
	if from.movable == 0 || !from.spares(to, int64(from.lightest)) {
		return false
	}
	if d.close() {
		return from.len-to.len >= 2 || exceeds(&d.groups[pl.busy], &d.groups[pl.here], d.margin(pl.busy, pl.here))
	}
	return p.lasted(d) || to.len == 0 && from.len >= 2
}

// lasted reports whether a domain has been out of balance for long enough, this
// tick included.
func (p *pass) lasted(d *domain) bool { return p.state.seen[d.id]+1 >= d.ticks }

// take looks at a queue's threads, and moves the first that may move.
func (p *pass) take(pl *pull, src int32) bool {
	for i := int32(0); ; i++ {
		e := p.candidate(src, i)
		if e == nil {
			return false
		}
		if e.moved {
			continue
		}
		if pl.looks--; pl.looks < 0 {
			return false
		}
		to := p.allowed(pl, e)
		c := Candidate{Thread: e.thread, From: src, To: to, Level: pl.d.level, Hold: -1}
		c.Reason = p.hard(e, to)
		pl.waiting = pl.waiting || c.Reason == Moved || c.Reason == CoolDown
		if c.Reason == Moved {
			c.Reason = p.soft(pl, e, to)
		}
		p.plan.Candidates = append(p.plan.Candidates, c)
		if c.Reason == Moved && p.ask(pl, e, to) {
			return true
		}
		if c.Reason == OverBudget {
			p.left = -1
			return false
		}
	}
}

// allowed returns the CPU that a thread would go to: the pulling one or, where
// its owner forbids that, the least loaded of the group that its owner allows
// (LBF_DST_PINNED).
func (p *pass) allowed(pl *pull, e *entry) int32 {
	mask := p.s.Masks[p.s.Threads[e.thread].Owner]
	if e.reason != Moved || mask.Has(int(pl.dst)) {
		return pl.dst
	}
	best := int32(-1)
	for _, cpu := range pl.d.groups[pl.here].cpus {
		if mask.Has(int(cpu)) && p.up(cpu) && (best < 0 || p.queues[cpu].lighter(&p.queues[best])) {
			best = cpu
		}
	}
	if best < 0 {
		return pl.dst
	}
	return best
}

// hard checks what no policy is asked about.
func (p *pass) hard(e *entry, to int32) Reason {
	t := &p.s.Threads[e.thread]
	switch {
	case e.reason != Moved:
		return e.reason
	case !p.s.Masks[t.Owner].Has(int(to)):
		return Affinity
	case t.Running:
		return OnCPU
	case t.MigrationDisabled:
		return Disabled
	case p.cooling(t, to):
		return CoolDown
	}
	return Moved
}

// idleCool is the part of a cool-down after which a thread may move to an idle
// CPU: better it runs there, with cold caches, than not at all.
const idleCool = 10

// cooling reports whether a thread moved too recently to go to a CPU.
func (p *pass) cooling(t *features.Thread, to int32) bool {
	left := p.state.cool[t.ID] - p.s.Time
	if p.queues[to].len == 0 {
		left -= int64(p.cfg.CoolDown - p.cfg.CoolDown/idleCool)
	}
	return left > 0
}

// soft checks the guard, the quota and the budget.
func (p *pass) soft(pl *pull, e *entry, to int32) Reason {
	w := int64(e.weight)
	switch {
	case !pl.narrows(&pl.d.groups[pl.busy], &pl.d.groups[pl.here], w),
		!p.queues[e.cpu].spares(&p.queues[to], w),
		!pl.d.groups[pl.here].permits(w):
		return TooHeavy
	case p.left <= 0:
		return OverBudget
	}
	return Moved
}

// ask puts the last candidate to the policy and moves it if told to.
func (p *pass) ask(pl *pull, e *entry, to int32) bool {
	c := &p.plan.Candidates[len(p.plan.Candidates)-1]
	c.Asked, c.Gain = true, p.gain(e, to)
	p.fill(&c.Decision, pl.d, &p.s.Threads[e.thread], e.cpu, to)
	c.Verdict = p.policy.Decide(&c.Decision)
	if !c.Verdict.Migrate {
		c.Reason = Stay
		pl.failed = true
		return false
	}
	p.move(pl, e, to)
	return true
}

// move plans the last candidate's move.
func (p *pass) move(pl *pull, e *entry, to int32) {
	hold := int32(len(p.plan.Holds))
	p.plan.Candidates[len(p.plan.Candidates)-1].Hold = hold
	p.plan.effect.attempts = append(p.plan.effect.attempts, attempt{pl.d.level, to, hold})
	p.plan.effect.tried[pl.d.id] = true
	p.plan.Holds = append(p.plan.Holds, features.Hold{Thread: e.thread, CPU: to})
	p.left--
	w := int64(e.weight)
	busy, here := &pl.d.groups[pl.busy], &pl.d.groups[pl.here]
	busy.load -= w
	here.load += w
	here.quota -= w
	here.moved = true
	p.migrate(e, to)
	here.top = max(here.top, p.queues[to].load)
}

// fail notes that a CPU found an imbalance and threads to pull, and got none.
// Like the kernel's, an attempt of a CPU that has only just become idle does
// not count.
func (p *pass) fail(pl *pull) {
	p.plan.effect.tried[pl.d.id] = true
	if p.idleType(pl.dst) != features.NewlyIdle {
		p.plan.effect.attempts = append(p.plan.effect.attempts, attempt{pl.d.level, pl.dst, -1})
	}
}
