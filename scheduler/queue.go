// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math"
	"slices"

	"mllb/features"
)

// noWeight is the lightest weight of no threads at all.
const noWeight = math.MaxInt32

// momentary is the runnable_avg (of 1024) below which a running thread is not
// load. The kernel's own average reaches it after about 1.5 ms of wanting a
// CPU. Whoever takes the snapshot runs at that very moment: without this, the
// CPU of the daemon itself would always look busier by one.
const momentary = 32

// entry is one queued thread.
type entry struct {
	delta  int64
	thread int32
	cpu    int32
	weight int32
	reason Reason // Moved: may be moved; else why never
	moved  bool   // by this plan
}

// queue is one CPU's threads as the plan so far leaves them.
type queue struct {
	load     int64
	speed    int64 // its grade
	len      int32
	first    int32 // its entries are pass.entries[first:end]
	end      int32
	movable  int32 // entries that may be moved and were not
	lightest int32 // least weight of those at the start of the tick, or noWeight
	heaped   bool  // see candidate
	rest     int32 // entries that are still in the heap

	// What the plan's moves did to the runqueue's own figures.
	nr, preferred int32
	loadAvg       int64
}

// collect buckets the queued threads by CPU in one pass over the snapshot.
// Threads with less than light of runnable_avg are left out. It returns the
// largest runnable_avg seen.
func (p *pass) collect(light uint32) uint32 {
	p.clear()
	seen := uint32(0)
	sleepers := p.cfg.Mode == Own && p.hold == HoldAll
	for i := range p.s.Threads {
		t := &p.s.Threads[i]
		if !t.Queued() && t.Hold < 0 && !sleepers {
			continue // most of a host
		}
		own := p.manage(t, int32(i))
		if !t.Queued() || uint32(t.CPU) >= uint32(len(p.queues)) || !p.layout.balanced[t.CPU] {
			continue
		}
		if fair(t.Policy) {
			if seen = max(seen, t.Runnable); t.Runnable < light {
				p.plan.effect.warming = true
				continue
			}
		}
		e := entry{delta: t.Delta, thread: int32(i), cpu: t.CPU, weight: weight(t), reason: own}
		p.queues[t.CPU].add(&e)
		p.raw = append(p.raw, e)
	}
	return seen
}

func (q *queue) add(e *entry) {
	q.load += int64(e.weight)
	q.len++
	if e.reason == Moved {
		q.movable++
		q.lightest = min(q.lightest, e.weight)
	}
}

func (p *pass) clear() {
	n := len(p.layout.balanced)
	p.queues = slices.Grow(p.queues[:0], n)[:n]
	for i := range p.queues {
		p.queues[i] = queue{lightest: noWeight, speed: fullGrade}
	}
	p.raw, p.fresh = p.raw[:0], p.fresh[:0]
	p.plan.Releases = p.plan.Releases[:0]
	p.plan.effect.warming = false
}

// bucket is the second half of a counting sort by CPU.
func (p *pass) bucket() {
	at := int32(0)
	for i := range p.queues {
		q := &p.queues[i]
		q.first, q.end = at, at
		at += q.len
	}
	p.entries = slices.Grow(p.entries[:0], len(p.raw))[:len(p.raw)]
	for i := range p.raw {
		q := &p.queues[p.raw[i].cpu]
		p.entries[q.end] = p.raw[i]
		q.end++
	}
}

// candidate returns a CPU's entry number i in the order in which they are tried,
// or nil after the last. Those that may be moved come first, and of them the ones
// that ran longest ago; the kernel takes them from the tail of cfs_tasks to the
// same end. Few are ever looked at, so a queue is not sorted but made a heap,
// and each that is taken from it put behind what is left:
//
//	first                      first+rest             end
//	| heap, the next one at its root | 3rd | 2nd | 1st |
func (p *pass) candidate(cpu, i int32) *entry {
	q := &p.queues[cpu]
	list := p.entries[q.first:q.end]
	if !q.heaped {
		q.heaped, q.rest = true, q.end-q.first
		for root := q.rest/2 - 1; root >= 0; root-- {
			p.sift(list, root)
		}
	}
	at := q.end - q.first - 1 - i
	if at < 0 {
		return nil
	}
	for q.rest > at {
		q.rest--
		list[0], list[q.rest] = list[q.rest], list[0]
		p.sift(list[:q.rest], 0)
	}
	return &list[at]
}

// sift makes the heap below root one with root, whose children's heaps are.
func (p *pass) sift(heap []entry, root int32) {
	for {
		child := 2*root + 1
		if int(child) >= len(heap) {
			return
		}
		if int(child)+1 < len(heap) && p.before(&heap[child+1], &heap[child]) {
			child++
		}
		if !p.before(&heap[child], &heap[root]) {
			return
		}
		heap[child], heap[root] = heap[root], heap[child]
		root = child
	}
}

// before orders two entries of one queue. Ties go by identity, so that the plan
// does not depend on the order of the snapshot.
func (p *pass) before(a, b *entry) bool {
	if a.reason != b.reason {
		return a.reason < b.reason
	}
	if a.delta != b.delta {
		return a.delta > b.delta
	}
	x, y := &p.s.Threads[a.thread].ID, &p.s.Threads[b.thread].ID
	return x.TID < y.TID || x.TID == y.TID && x.Start < y.Start
}

// migrate takes entry e off its queue and puts its load on CPU to. The entry
// stays where it is, marked: nothing is moved twice in one tick.
func (p *pass) migrate(e *entry, to int32) {
	t := &p.s.Threads[e.thread]
	src, dst := &p.queues[e.cpu], &p.queues[to]
	e.moved = true
	p.moved[e.thread>>6] |= 1 << (e.thread & 63)
	src.movable--
	p.shift(src, e.cpu, t, -1)
	p.shift(dst, to, t, 1)
	w := int64(e.weight)
	src.load -= w
	dst.load += w
}

// shift adds (sign 1) or takes (-1) one thread to or from a queue's counts.
func (p *pass) shift(q *queue, cpu int32, t *features.Thread, sign int32) {
	core := p.layout.core[cpu]
	if q.len == 0 {
		p.coreBusy[core]++
	}
	q.len += sign
	if q.len == 0 {
		p.coreBusy[core]--
	}
	q.nr += sign
	q.loadAvg += int64(sign) * int64(min(t.Load, math.MaxInt32))
	if t.PreferredNode != features.NoNode && int(t.PreferredNode) == p.layout.topo.NodeOf(int(cpu)) {
		q.preferred += sign
	}
}
