// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"time"

	"mllb/features"
)

// A thread is busy, and is held in `own`, once it wants a CPU half of the
// time, and stays so until it wants it less than a quarter (of 1024,
// se.avg.runnable_avg). The gap keeps a thread at the border from being held
// and let go at every tick.
const (
	busyAbove = 512
	idleBelow = 256
)

// DefaultNewborn is short, and yet programs size themselves by their mask when they start.
const DefaultNewborn = time.Second

// newborn reports whether a thread is too young to be held. Its age is in clock ticks.
func (p *pass) newborn(t *features.Thread) bool {
	least := p.cfg.Newborn
	if least == 0 {
		least = DefaultNewborn
	}
	return p.s.Now > 0 && p.s.Now < t.Start+uint64(least/(10*time.Millisecond))
}

// manage says whether the pass may move a thread: Moved if so. In `own` it also
// notes what to hold where it is and what to let go.
func (p *pass) manage(t *features.Thread, i int32) Reason {
	switch {
	case !t.Managed:
		return NotManaged
	case p.cfg.Mode != Own:
		if t.Hold >= 0 { // until its lease ends
			return CoolDown
		}
		return Moved
	case t.Hold >= 0:
		return p.keep(t, i)
	case p.hold != HoldAll && (!(t.Queued() && t.Runnable >= busyAbove) || p.newborn(t)):
		p.plan.effect.warming = p.plan.effect.warming || t.Queued()
		return NotBusy
	}
	p.fresh = append(p.fresh, i)
	return Moved
}

// keep looks at a thread that is held: it may have gone to sleep, or its CPU
// may have gone away.
func (p *pass) keep(t *features.Thread, i int32) Reason {
	if p.hold != HoldAll && !t.Queued() && t.Runnable < idleBelow {
		p.plan.Releases = append(p.plan.Releases, i)
		return NotBusy
	}
	if p.hold == HoldWorth || !p.usable(t, t.Hold) {
		p.fresh = append(p.fresh, i)
	}
	return Moved
}

// usable reports whether a thread may be held on a CPU.
func (p *pass) usable(t *features.Thread, cpu int32) bool {
	return p.up(cpu) && p.s.Masks[t.Owner].Has(int(cpu))
}

// up reports whether a CPU is balanced, by the topology, and online by the
// snapshot, which may be newer.
func (p *pass) up(cpu int32) bool { return uint32(cpu) < uint32(len(p.ups)) && p.ups[cpu] }

func (p *pass) findUps() {
	p.ups = zeroed(p.ups, min(len(p.layout.balanced), len(p.s.Runqueues)))
	for i := range p.ups {
		p.ups[i] = p.layout.balanced[i] && p.s.Runqueues[i].Online
	}
}

// holdInPlace holds the threads that are to be held and that the pass did not
// move: where they are, or, if that CPU is gone, on the least loaded of those
// that their owner allows. A held thread with no such CPU is let go.
func (p *pass) holdInPlace() {
	if p.hold == HoldWorth {
		p.holdWorth()
		return
	}
	for _, i := range p.fresh {
		t := &p.s.Threads[i]
		cpu := t.CPU
		if p.isMoved(i) {
			continue
		}
		if !p.usable(t, cpu) {
			cpu = p.refuge(t)
		}
		switch {
		case cpu >= 0:
			p.plan.Holds = append(p.plan.Holds, features.Hold{Thread: i, CPU: cpu})
		case t.Hold >= 0:
			p.plan.Releases = append(p.plan.Releases, i)
		}
	}
}

// refuge returns the least loaded CPU that a thread may be held on, or -1.
func (p *pass) refuge(t *features.Thread) int32 {
	best := int32(-1)
	for cpu := range p.queues {
		c := int32(cpu)
		if p.usable(t, c) && (best < 0 || p.queues[c].lighter(&p.queues[best])) {
			best = c
		}
	}
	if best >= 0 && t.Queued() {
		q := &p.queues[best]
		q.load += int64(weight(t))
		q.len++
	}
	return best
}
