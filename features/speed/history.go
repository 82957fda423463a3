// SPDX-License-Identifier: Apache-2.0

package speed

import "mllb/features"

// history is how often a CPU had which speed, in steps of a 64th.
type history struct {
	times     [historySteps + 1]uint32
	n         uint32
	min, last uint32
}

const (
	historySteps = 64
	historyStep  = features.FullSpeed / historySteps
)

func (h *history) add(speed uint32) {
	if h.n == 0 || speed < h.min {
		h.min = speed
	}
	h.last = speed
	h.times[speed/historyStep]++
	h.n++
}

func (h *history) median() uint32 {
	seen := uint32(0)
	for step, times := range h.times {
		if seen += times; 2*seen >= h.n && h.n > 0 {
			return max(1, uint32(step)*historyStep)
		}
	}
	return 0
}
