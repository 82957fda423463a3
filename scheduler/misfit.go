// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"time"

	"mllb/topology"
)

// A thread that has a slow CPU to itself is no imbalance: nothing waits. It is a misfit
// (group_misfit_task, kernel/sched/fair.c, 6.12) while a CPU that is faster by a quarter
// is idle, and so is its core. The kernel asks for the same quarter (fits_capacity). It
// is several times what measurements vary by, so that a thread does not follow noise, and
// it pays for the caches that are left behind within a fraction of a second.
// The grade must say the same, or what is within one could go on for ever.
func (p *pass) misfits(slow, fast int32) bool {
	return fasterBy(p.s.Runqueues[fast].Speed, p.s.Runqueues[slow].Speed) && p.queues[slow].speed < p.queues[fast].speed
}

// fasterBy reports whether one speed is known to exceed another by a quarter.
func fasterBy(fast, slow uint32) bool { return slow > 0 && 4*uint64(fast) >= 5*uint64(slow) }

// remeasured is how long it takes until the speed of every CPU has been measured again.
// Threads on two siblings that the topology does not show slow each other, and both seem
// to gain by leaving; once one has, the other has its core to itself. So one thread at a
// time is pushed, of a CPU that has been slow for that long, and then none for as long.
const remeasured = time.Second

// fitMisfit pushes a misfit to a faster CPU, as near as there is one. It is active
// balance: no policy is asked.
func (p *pass) fitMisfit() {
	slow := zeroed(p.plan.effect.slow, len(p.queues))
	p.plan.effect.slow = slow
	if p.uniform || !p.active || !p.findSlow(slow) {
		return
	}
	for i := range p.layout.domains {
		d := &p.layout.domains[i]
		if d.level == topology.SMT {
			continue
		}
		p.imbalanced(d) // sums the groups' loads
		if pl, e := p.misfit(d); e != nil {
			p.fit(&pl, e)
			return
		}
	}
}

// findSlow notes since when CPUs have been slower than an idle one, and reports whether
// there are any.
func (p *pass) findSlow(slow []int64) (found bool) {
	fastest := int32(-1)
	for cpu := range int32(len(p.ups)) {
		if p.whole(cpu) && (fastest < 0 || p.quicker(cpu, fastest)) {
			fastest = cpu
		}
	}
	if fastest < 0 {
		return false
	}
	for cpu := range int32(len(p.ups)) {
		q := &p.queues[cpu]
		if q.len != 1 || q.movable != 1 || !p.misfits(cpu, fastest) {
			continue
		}
		slow[cpu], found = p.state.slow[cpu], true
		if slow[cpu] == 0 {
			slow[cpu] = p.s.Time
		}
	}
	return found
}

// quicker compares what was measured.
func (p *pass) quicker(a, b int32) bool { return p.s.Runqueues[a].Speed > p.s.Runqueues[b].Speed }

// whole reports whether a CPU and its core are idle, and its speed is known.
func (p *pass) whole(cpu int32) bool {
	return p.up(cpu) && p.queues[cpu].len == 0 && p.s.Runqueues[cpu].Speed > 0 && p.coreBusy[p.layout.core[cpu]] == 0
}

// misfit returns the thread of a domain that is to be pushed, nil if there is none: of the
// slowest CPU.
func (p *pass) misfit(d *domain) (best pull, found *entry) {
	looks := maxLooks
	for i := range d.groups {
		for _, cpu := range d.groups[i].cpus {
			q := &p.queues[cpu]
			if p.plan.effect.slow[cpu] == 0 || found != nil && !p.quicker(found.cpu, cpu) || looks == 0 {
				continue
			}
			looks--
			e := p.lone(q)
			if e == nil {
				continue
			}
			if pl := (pull{d: d, busy: i}); p.faster(&pl, e) {
				best, found = pl, e
			}
		}
	}
	return best, found
}

// lone returns the thread that a queue has to itself, nil if that moved there just now.
func (p *pass) lone(q *queue) *entry {
	for i := q.first; i < q.end; i++ {
		if e := &p.entries[i]; !e.moved {
			return e
		}
	}
	return nil
}

// faster finds the fastest CPU of the other groups that a misfit may be pushed to.
func (p *pass) faster(pl *pull, e *entry) bool {
	t := &p.s.Threads[e.thread]
	if t.MigrationDisabled || p.state.cool[t.ID] > p.s.Time {
		return false
	}
	pl.dst = -1
	for j := range pl.d.groups {
		if j == pl.busy || !contains(&pl.d.groups[pl.busy], &pl.d.groups[j], int64(e.weight)) {
			continue
		}
		for _, cpu := range pl.d.groups[j].cpus {
			if !p.whole(cpu) || !p.misfits(e.cpu, cpu) || pl.dst >= 0 && !p.quicker(cpu, pl.dst) {
				continue
			}
			if r := p.hard(e, cpu); r == OnCPU || r == Moved {
				pl.here, pl.dst = j, cpu
			}
		}
	}
	return pl.dst >= 0
}

// fit pushes a misfit if that is due.
func (p *pass) fit(pl *pull, e *entry) {
	since := max(p.plan.effect.slow[e.cpu], p.state.pushed)
	p.activate(pl, e, p.s.Time-since >= int64(pl.d.ticks)*int64(remeasured))
}
