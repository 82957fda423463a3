// SPDX-License-Identifier: Apache-2.0

package stress

import "time"

const (
	us = time.Microsecond
	ms = time.Millisecond
	kB = 1 << 10
	mB = 1 << 20
)

// niceValues are spread over the threads of kind nice, in turn. Weights lie
// between 15 and 9548 (kernel/sched/core.c, sched_prio_to_weight).
var niceValues = []int{0, 5, -5, 10, 19, -10}

var kinds = []Kind{
	{Name: "bursts", former: "spin", Help: "long unequal bursts with short pauses", Duty: 0.95, memory: mB, step: burst},
	{Name: "idle", Help: "short bursts with long pauses: a host that is nearly idle", Duty: 0.1, memory: 64 * kB, step: func(t *thread) {
		t.burn(t.between(500*us, 6*ms))
		t.sleep(t.between(5*ms, 55*ms))
	}},
	{Name: "slices", former: "wakers", Help: "short slices: burn and sleep for a millisecond or two", Duty: 0.5, memory: 64 * kB, step: slice},
	{Name: "mixed", Help: "every other thread as in bursts, the others as in slices", Duty: 0.75, memory: 256 * kB, step: func(t *thread) {
		if t.index%2 == 0 {
			burst(t)
		} else {
			slice(t)
		}
	}},
	{Name: "memory", former: "numa", Help: "memory-bound: each thread walks over its own 16 MiB", Duty: 1, memory: 16 * mB, step: func(t *thread) {
		t.burn(t.between(50*ms, 500*ms))
		t.sleep(t.between(1*ms, 10*ms))
	}},
	{Name: "nice", Help: "as bursts, with priorities from -10 to 19", Duty: 0.95, memory: mB, step: burst, start: func(t *thread) {
		t.nice(niceValues[t.index%len(niceValues)])
	}},
	{Name: "pinned", Help: "bursts on one CPU, each another, and between them on any", Duty: 1, memory: mB, step: func(t *thread) {
		t.pin()
		t.burn(t.between(5*ms, 60*ms))
		t.release()
		t.burn(t.between(10*ms, 120*ms))
		if t.rng.IntN(4) == 0 {
			t.sleep(t.between(1*ms, 10*ms))
		}
	}},
	{Name: "forks", Help: "threads that live for some milliseconds, each followed by another", Duty: 1, memory: 16 * kB, short: true, step: func(t *thread) {
		t.burn(t.between(1*ms, 40*ms))
	}},
}

func burst(t *thread) {
	t.burn(t.between(20*ms, 400*ms))
	t.sleep(t.between(1*ms, 20*ms))
}

func slice(t *thread) {
	t.burn(t.between(100*us, 2*ms))
	t.sleep(t.between(100*us, 2*ms))
}
