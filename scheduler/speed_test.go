// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
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

// The largest loads and machines that there can be still compare right.
func TestNoOverflow(t *testing.T) {
	const load, cpus = 88761 << 22, 8192
	for _, most := range []int64{100, 125, 735} { // of distance 254
		for _, less := range []int64{0, 1} {
			want := most < 100 || most == 100 && less > 0
			if got := scheduler.Exceeds(load, load-less, cpus*8, most); got != want {
				t.Errorf("a load of %d exceeds one of %d by %d %%: %v", int64(load), load-less, most, got)
			}
		}
	}
}
