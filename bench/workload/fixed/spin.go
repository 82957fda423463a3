// SPDX-License-Identifier: Apache-2.0

package fixed

import "slices"

// burst is steps to make and nanoseconds to sleep after them, if any.
type burst struct{ steps, pause uint64 }

// spinPlan is what one thread does: half to one and a half of the work.
func spinPlan(s Spec, index int) []burst {
	rng := newRand(s.Seed, index)
	work := uint64(s.Work) * stepsPerMs
	left := between(rng, work/2, work/2+work)
	var plan []burst
	for left > 0 {
		b := burst{min(left, between(rng, 20, 400)*stepsPerMs), between(rng, 1_000_000, 20_000_000)}
		if left -= b.steps; left == 0 {
			b.pause = 0
		}
		plan = append(plan, b)
	}
	return plan
}

func spinWant(s Spec) uint64 {
	var states []uint64
	for i := range s.Threads {
		var steps uint64
		for _, b := range spinPlan(s, i) {
			steps += b.steps
		}
		states = append(states, jump(first(s.Seed, i), steps))
	}
	return total(states)
}

func spinStart(s Spec) (*load, error) {
	states := make([]uint64, s.Threads)
	l := &load{sum: func() uint64 { return total(states) }, close: func() {}}
	for i := range s.Threads {
		plan := slices.Clip(spinPlan(s, i))
		l.threads = append(l.threads, func() error {
			states[i] = spin(first(s.Seed, i), plan)
			return nil
		})
	}
	return l, nil
}

//go:nosplit
func spin(x uint64, plan []burst) uint64 {
	for _, b := range plan {
		x = burn(x, b.steps)
		if b.pause > 0 {
			pause(b.pause)
		}
	}
	return x
}
