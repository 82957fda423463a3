// SPDX-License-Identifier: Apache-2.0

package fixed

// steadySteps is what one thread of the even kind does, or of the uneven: half to
// one and a half of the work.
func steadySteps(s Spec, index int) uint64 {
	work := uint64(s.Work) * stepsPerMs
	if s.Kind == "even" {
		return work
	}
	return between(newRand(s.Seed, index), work/2, work/2+work)
}

func steadyWant(s Spec) uint64 {
	states := make([]uint64, s.Threads)
	for i := range states {
		states[i] = jump(first(s.Seed, i), steadySteps(s, i))
	}
	return total(states)
}

func steadyStart(s Spec) (*load, error) {
	states := make([]uint64, s.Threads)
	l := &load{sum: func() uint64 { return total(states) }, close: func() {}}
	for i := range s.Threads {
		steps := steadySteps(s, i)
		l.threads = append(l.threads, func() error {
			states[i] = burn(first(s.Seed, i), steps)
			return nil
		})
	}
	return l, nil
}
