// SPDX-License-Identifier: Apache-2.0

package fixed

import "sync/atomic"

// item goes through the stages. A duplicate, as three in ten are, is not
// compressed.
type item struct {
	state     uint64
	steps     [3]uint64 // of the stages between the first and the last
	duplicate bool
}

const queueLen = 32

// pipelinePlan is the items: cutting takes 100 us, hashing 200 us, compressing
// 0.2 to 2 ms, each by half more or less.
func pipelinePlan(s Spec) []item {
	items := make([]item, s.Threads*s.Work)
	rng := newRand(s.Seed, 0)
	for i := range items {
		items[i] = item{state: first(s.Seed, i), duplicate: rng.IntN(10) < 3, steps: [3]uint64{
			between(rng, 50, 150) * stepsPerUs, between(rng, 100, 300) * stepsPerUs, between(rng, 200, 2000) * stepsPerUs}}
	}
	return items
}

func pipelineWant(s Spec) uint64 {
	items := pipelinePlan(s)
	states := make([]uint64, len(items))
	for i := range items {
		it := &items[i]
		states[i] = jump(it.state, it.steps[0]+it.steps[1])
		if !it.duplicate {
			states[i] = jump(states[i], it.steps[2])
		}
	}
	return total(states)
}

// pipelineStart gives the first and last stage a thread each, and the others
// the rest in equal parts, as dedup does, whatever their cost.
func pipelineStart(s Spec) (*load, error) {
	items := pipelinePlan(s)
	unique := uint64(0)
	for i := range items {
		if !items[i].duplicate {
			unique++
		}
	}
	var cut, hash, compress, done queue
	for _, q := range []*queue{&cut, &hash, &compress, &done} {
		q.free.n = queueLen
	}
	all := uint64(len(items))
	middle := []*stage{
		{step: 0, todo: all, in: &cut, out: &hash, duplicates: &hash},
		{step: 1, todo: all, in: &hash, out: &compress, duplicates: &done},
		{step: 2, todo: unique, in: &compress, out: &done},
	}
	arrived := make([]*item, len(items))
	l := &load{close: func() {}, sum: func() uint64 { return pipelineSum(items, arrived) }}
	l.threads = append(l.threads,
		func() error { source(items, &cut); return nil },
		func() error { sink(arrived, &done); return nil })
	for i := range s.Threads - 2 {
		st := middle[i%len(middle)]
		l.threads = append(l.threads, func() error { st.work(); return nil })
	}
	return l, nil
}

// pipelineSum counts what arrived, each once.
func pipelineSum(items []item, arrived []*item) uint64 {
	seen := make(map[*item]bool, len(items))
	for _, it := range arrived {
		seen[it] = true
	}
	states := make([]uint64, len(items))
	for i := range items {
		if seen[&items[i]] {
			states[i] = items[i].state
		}
	}
	return total(states)
}

//go:nosplit
func source(items []item, out *queue) {
	for i := range items {
		out.put(&items[i])
	}
}

//go:nosplit
func sink(arrived []*item, in *queue) {
	for i := range arrived {
		arrived[i] = in.get()
	}
}

// stage is a step that several threads make.
type stage struct {
	step            int
	todo, taken     uint64
	in              *queue
	out, duplicates *queue
}

// work takes items until every one of the stage has a taker.
//
//go:nosplit
func (s *stage) work() {
	for atomic.AddUint64(&s.taken, 1) <= s.todo {
		it := s.in.get()
		it.state = burn(it.state, it.steps[s.step])
		if it.duplicate {
			s.duplicates.put(it)
		} else {
			s.out.put(it)
		}
	}
}

// queue holds up to queueLen items, in order.
type queue struct {
	used, free semaphore
	mu         mutex
	head, tail uint32
	items      [queueLen]*item
}

//go:nosplit
func (q *queue) put(it *item) {
	q.free.take()
	q.mu.lock()
	q.items[q.tail%queueLen] = it
	q.tail++
	q.mu.unlock()
	q.used.give()
}

//go:nosplit
func (q *queue) get() *item {
	q.used.take()
	q.mu.lock()
	it := q.items[q.head%queueLen]
	q.head++
	q.mu.unlock()
	q.free.give()
	return it
}
