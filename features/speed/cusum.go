// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"math"
	"time"
)

// cusum tells that samples are no longer as they were (Page, Continuous Inspection
// Schemes, 1954): it is the sum of their log-likelihood ratios, of changed to unchanged,
// and never below 0.
type cusum struct {
	sum float64
	run int // samples since it was 0
}

// alarmAt is the sum at which a change is believed. If nothing changes, a sum of h is
// reached not more often than once in exp(h) samples (Lorden, Procedures for Reacting to
// a Change in Distribution, 1971): this is an hour of a busy CPU's.
var alarmAt = math.Log(float64(time.Hour / busyEvery))

// clipped bounds what one sample says: one that was disturbed may be anything (Huber, A
// Robust Version of the Probability Ratio Test, 1965).
const clipped = 2.5

func (c *cusum) add(llr float64) {
	c.sum += min(max(llr, -clipped), clipped)
	if c.run++; c.sum <= 0 {
		*c = cusum{}
	}
}

// suspects reports whether the next sample matters more than usual.
func (c *cusum) suspects() bool { return c.sum > 0 }
