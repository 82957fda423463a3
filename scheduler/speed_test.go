// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"math/rand/v2"

	"pgregory.net/rapid"

	"mllb/features"
)

// drawSpeeds draws how fast the CPUs of a host are measured to be: not at all, or each
// time a little differently. Unless they are steady, now and then one becomes another.
func drawSpeeds(t *rapid.T, cpus int, steady bool) func(s *features.Snapshot) {
	if rapid.Bool().Draw(t, "unmeasured") {
		return nil
	}
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "speeds"), 5))
	noise := rapid.SampledFrom([]int{1, 40, 400}).Draw(t, "noise")
	if steady {
		noise = min(noise, 40)
	}
	speeds := make([]int, cpus)
	for i := range speeds {
		speeds[i] = pick(rng, 0, 1, 200, 512, 700, 900, 1000, 1024)
	}
	return func(s *features.Snapshot) {
		if !steady && rng.IntN(10) == 0 {
			speeds[rng.IntN(cpus)] = rng.IntN(2 * features.FullSpeed)
		}
		for i := range s.Runqueues {
			s.Runqueues[i].Speed = 0
			if speeds[i] > 0 {
				s.Runqueues[i].Speed = uint32(max(1, speeds[i]+rng.IntN(noise)-noise/2))
			}
		}
	}
}
