// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"time"

	"mllb/topology"
)

// A spot check looks at a few pairs for spotTime, and at each as often as it
// needs: one that ever ran at once is not stacked.
const (
	spotTime  = 350 * time.Millisecond
	spotPairs = 12
	spotTries = slowRounds
)

// Spot looks for CPUs that the kernel takes for different cores, but that never
// run at the same time, where hypervisors put them: next to each other, or half
// of all apart. It says what it found, in words: "" if nothing.
func Spot(ctx context.Context, m Machine, told *topology.Topology) (doubt string, err error) {
	cpus, err := m.CPUs()
	if err != nil {
		return "", err
	}
	end := m.Now().Add(spotTime)
	for _, pair := range spots(cpus.And(told.Online), told) {
		slow := 0
		for slow < spotTries && m.Now().Before(end) {
			h, err := m.Handoff(ctx, pair[0], pair[1], slowLimit)
			if err != nil {
				return "", err
			}
			if h.Each <= atOnce || h.Disturbed {
				break // they ran at once, or other threads were there
			}
			slow++
		}
		if slow == spotTries {
			return fmt.Sprintf("CPUs %d,%d behave as one", pair[0], pair[1]), nil
		}
	}
	return "", nil
}

// spots are the pairs that are looked at.
func spots(cpus topology.CPUSet, told *topology.Topology) (pairs [][2]int) {
	var all []int
	for cpu := range cpus.All() {
		all = append(all, cpu)
	}
	n := len(all)
	for _, apart := range []int{1, n / 2} {
		if apart == 0 || apart == 1 && len(pairs) > 0 {
			continue
		}
		step := max((n-apart)/(spotPairs/2), 1)
		if step > 1 {
			step += step % 2 // an even CPU and the next one are what shares a core
		}
		for i := 0; i+apart < n && len(pairs) < spotPairs; i += step {
			if a, b := all[i], all[i+apart]; !told.SameCore(a, b) {
				pairs = append(pairs, [2]int{a, b})
			}
		}
	}
	return pairs
}
