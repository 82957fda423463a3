// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"slices"
	"time"
)

const (
	window   = 31      // samples that an estimate is made of
	firstFew = 3       // of which it can be made
	lowAt    = 0.707   // of the estimate: nearer to half of it
	highAt   = 1.414   // nearer to its double
	nearly   = 1. / 16 // differences up to this are none
)

// How often samples show a change: that is there, and that is not.
const (
	whenTrue   = 0.9
	leastNoise = 0.02
	mostNoise  = 0.3 // of samples of the pace
	mostLate   = 0.2 // of interrupts
)

// ring is the last samples of something.
type ring[T any] struct {
	of    [window]T
	n, at int // how many there are, and where the next one goes
}

func (r *ring[T]) add(v T) { r.of[r.at], r.at, r.n = v, (r.at+1)%window, min(r.n+1, window) }

// keep forgets all but the last n.
func (r *ring[T]) keep(n int) { r.n = min(r.n, n) }

// last returns the i-th from the end.
func (r *ring[T]) last(i int) T { return r.of[(r.at-1-i+2*window)%window] }

// share is how many of the samples, but for the last few, are so.
func (r *ring[T]) share(but int, so func(T) bool) float64 {
	if r.n <= but {
		return 0
	}
	yes := 0
	for i := but; i < r.n; i++ {
		if so(r.last(i)) {
			yes++
		}
	}
	return float64(yes) / float64(r.n-but)
}

// pace is how fast a CPU works while it runs: the median of the last samples, which
// stays as it is while it moves by less than nearly, and is made of new samples alone
// once these are about half or double.
type pace struct {
	value  float64 // 0: not known
	rates  ring[float64]
	low    cusum
	high   cusum
	sorted []float64
}

func (p *pace) add(rate float64) (alarm bool) {
	p.rates.add(rate)
	if p.value > 0 {
		low := p.test(&p.low, func(r float64) bool { return r < lowAt*p.value })
		high := p.test(&p.high, func(r float64) bool { return r > highAt*p.value })
		if alarm = low || high; alarm {
			p.low.reset()
			p.high.reset()
			p.value = 0
		}
	}
	p.estimate()
	return alarm
}

// test asks whether the last samples are so for another reason than noise. If they are,
// those before them say nothing any more.
func (p *pace) test(c *cusum, so func(float64) bool) (alarm bool) {
	noise := max(p.rates.share(c.run+1, so), c.often, leastNoise)
	if alarm = c.add(so(p.rates.last(0)), min(noise, mostNoise), whenTrue); alarm {
		p.rates.keep(c.run)
	}
	return alarm
}

func (p *pace) estimate() {
	if p.rates.n < firstFew {
		return
	}
	p.sorted = p.sorted[:0]
	for i := range p.rates.n {
		p.sorted = append(p.sorted, p.rates.last(i))
	}
	slices.Sort(p.sorted)
	m := p.sorted[p.rates.n/2]
	if d := m - p.value; d > nearly*p.value || -d > nearly*p.value {
		p.value = m
	}
}

func (p *pace) suspects() bool { return p.low.suspects() || p.high.suspects() }

// lateAt is how late an interrupt is because the CPU was away. A host's turns are
// longer (3 ms, sched_base_slice_ns); what else delays interrupts is mostly shorter.
const lateAt = 500 * time.Microsecond

// mostAway is the most that is believed: a CPU that takes an interrupt is there.
const mostAway = 0.95

// leastAway is the least that is told from nothing.
const leastAway = 0.125

// absence is for which share of the time a busy CPU does not run though the kernel
// thinks so. An interrupt that is due at a random moment is late as often. It is 0
// until that is far more than before.
type absence struct {
	value float64
	late  ring[bool]
	more  cusum
	less  cusum
	last  time.Time // of the last sample
}

// forgetAfter is how long an idle CPU is believed to be as it was when it was busy.
const forgetAfter = 5 * time.Minute

func (a *absence) add(late time.Duration, now time.Time) (alarm bool) {
	yes := late >= lateAt
	a.late.add(yes)
	a.last = now
	before := max(a.value, min(max(a.more.often, leastNoise), mostLate))
	// With half of what it had, it is away as often as this.
	half := whenTrue * (1 + a.value) / 2
	if half > before && a.more.add(yes, before, half) {
		a.late.keep(a.more.run)
		alarm = true
	}
	if a.value > 0 && a.less.add(!yes, 1-a.value, 1-leastNoise) {
		a.late.keep(a.less.run)
		alarm = true
	}
	share := min(a.late.share(0, func(late bool) bool { return late }), mostAway)
	switch d := share - a.value; {
	case alarm:
		a.more.reset()
		a.less.reset()
		a.value = share
	case a.value > 0 && (d > leastAway || -d > leastAway):
		a.value = share
	}
	if a.value < leastAway {
		a.value = 0
	}
	return alarm
}

func (a *absence) suspects() bool { return a.more.suspects() || a.less.suspects() }

func (a *absence) now(at time.Time) float64 {
	if at.Sub(a.last) > forgetAfter {
		return 0
	}
	return a.value
}
