// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"math"
	"time"
)

// alarmAt is the sum at which a change is believed. A cusum of log-likelihood ratios
// that alarms at h does so without a change not more often than once in exp(h)
// samples (Lorden, Procedures for Reacting to a Change in Distribution, 1971). There
// are alarmSamples of them in an hour at the most.
var alarmAt = math.Log(float64(alarmSamples))

// alarmSamples: a suspected CPU is looked at each suspectEvery.
const alarmSamples = time.Hour / suspectEvery

// cusum tells that something happens far more often than before, from yes and no
// (Page, Continuous Inspection Schemes, 1954): the sum of log(p1/p0) for each yes and
// log((1-p1)/(1-p0)) for each no, never below 0. Yes and no, rather than the measured
// value: what disturbs a sample may make it any number of times too low.
type cusum struct {
	sum   float64
	run   int     // samples since it was 0
	often float64 // how often it is yes in the long run
}

// memory is how many samples the long run is: so many that a change is known long
// before it is part of that.
const memory = 256

// add takes one answer. p0 is how often it is yes without the change, p1 with it.
func (c *cusum) add(yes bool, p0, p1 float64) (alarm bool) {
	if yes {
		c.sum += math.Log(p1 / p0)
		c.often += (1 - c.often) / memory
	} else {
		c.sum += math.Log((1 - p1) / (1 - p0))
		c.often -= c.often / memory
	}
	if c.run++; c.sum <= 0 {
		c.reset()
	}
	return c.sum >= alarmAt
}

func (c *cusum) reset() { c.sum, c.run = 0, 0 }

// suspects reports whether the next sample matters more than usual.
func (c *cusum) suspects() bool { return c.sum > 0 }
