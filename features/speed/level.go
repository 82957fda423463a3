// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"math"
	"slices"
	"time"
)

const (
	window   = 31      // samples that an estimate is made of
	firstFew = 3       // of which it can be made
	nearly   = 1. / 16 // differences up to this are none
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

// pace is how fast a CPU works while it runs: the median of the last samples. It stays
// as it is while that moves by less than nearly, and is of new samples alone once these
// are about half or double.
type pace struct {
	value  float64 // 0: not known
	rates  ring[float64]
	low    cusum
	high   cusum
	sorted []float64
}

// Bounds of the spread of samples: their logarithms' standard deviation.
const (
	leastSpread = 0.2
	mostSpread  = 0.6
	someSpread  = 0.35 // of too few to tell
)

// Samples of a noisy CPU come in runs, each of which is more than chance has it. So they
// are taken to spread by so much more than they do, and the sum has to be larger. Both
// are from testdata: with less, alarms on a host with busy neighbours are not rare.
const (
	runsSpread = 1.6
	runsSum    = 6
)

func (p *pace) add(rate float64) (alarm bool) {
	p.rates.add(rate)
	if p.value > 0 {
		change := math.Log(rate / p.value)
		p.low.add(p.likelihood(-change, p.low.run))
		p.high.add(p.likelihood(change, p.high.run))
		for _, c := range []*cusum{&p.low, &p.high} {
			if c.sum >= alarmAt+runsSum {
				p.rates.keep(c.run)
				alarm = true
			}
		}
		if alarm {
			p.low, p.high, p.value = cusum{}, cusum{}, 0
		}
	}
	p.estimate()
	return alarm
}

// likelihood is the log-likelihood ratio of a lognormal rate whose median doubled to one
// whose median stayed, of the logarithm of rate to median. The spread is that before the
// last samples.
func (p *pace) likelihood(log float64, but int) float64 {
	s := p.spread(but + 1)
	return math.Ln2 / (s * s) * (log - math.Ln2/2)
}

// spread is 1.4826 times the median of the deviations, which is the standard deviation
// if they are normal.
func (p *pace) spread(but int) float64 {
	p.sorted = p.sorted[:0]
	for i := but; i < p.rates.n; i++ {
		p.sorted = append(p.sorted, math.Abs(math.Log(p.rates.last(i)/p.value)))
	}
	if len(p.sorted) < firstFew {
		return someSpread
	}
	slices.Sort(p.sorted)
	return min(max(runsSpread*1.4826*p.sorted[len(p.sorted)/2], leastSpread), mostSpread)
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
	if m := p.sorted[p.rates.n/2]; math.Abs(m-p.value) > nearly*p.value {
		p.value = m
	}
}

func (p *pace) suspects() bool { return p.low.suspects() || p.high.suspects() }

// A thread wakes up late because the CPU was away if it does so by leastLateness, and by
// muchLater times what is usual here. A host's turns are longer (3 ms,
// sched_base_slice_ns); what else delays it is mostly shorter, but not where the CPU is
// emulated.
const (
	leastLateness = 500 * time.Microsecond
	mostUsual     = 500 * time.Microsecond
	muchLater     = 4
)

const (
	leastAway = 0.125 // is told from nothing
	mostAway  = 0.95  // that is believed: a CPU on which a thread wakes up is there
	mostLate  = 0.2   // of the times, on a CPU that is not away
	leastLate = 0.02
)

// longRun is how many samples it takes to learn how often threads wake up late anyway: so
// many that an alarm comes long before.
const longRun = 256

// absence is for which share of the time a busy CPU does not run though the kernel
// thinks so. A thread that wakes up at a random moment is late as often. It is 0 until
// that is far more than before.
type absence struct {
	value float64
	late  ring[bool]
	often float64 // how often it is late, in the long run
	usual float64 // lateness that a quarter of them stay below, ns
	more  cusum
	less  cusum
	last  time.Time // of the last sample
}

// forgetAfter is how long an idle CPU is believed to be as it was when it was busy.
const forgetAfter = 5 * time.Minute

func (a *absence) add(late time.Duration, now time.Time) (alarm bool) {
	yes := a.tooLate(late)
	a.late.add(yes)
	a.last = now
	before := max(a.value, min(max(a.often, leastLate), mostLate))
	// With half of what it had, it is away as often as this; some turns are short.
	if half := 0.9 * (1 + a.value) / 2; half > before {
		a.more.add(likelihood(yes, before, half))
	}
	if a.value > 0 {
		a.less.add(likelihood(yes, a.value, leastLate))
	}
	if yes {
		a.often += 1. / longRun
	}
	a.often -= a.often / longRun
	for _, c := range []*cusum{&a.more, &a.less} {
		if c.sum >= alarmAt {
			a.late.keep(c.run)
			alarm = true
		}
	}
	a.estimate(alarm)
	return alarm
}

// tooLate judges a lateness, and follows the lower quartile in small steps.
func (a *absence) tooLate(late time.Duration) bool {
	const step = 0.1
	if a.usual == 0 {
		a.usual = float64(min(late, leastLateness/muchLater))
	}
	if float64(late) > a.usual {
		a.usual += step / 4 * (a.usual + float64(time.Microsecond))
	} else {
		a.usual -= step * 3 / 4 * a.usual
	}
	a.usual = min(a.usual, float64(mostUsual))
	return late >= max(leastLateness, time.Duration(muchLater*a.usual))
}

// likelihood is the log-likelihood ratio of an answer: how often it is yes with a change,
// to without.
func likelihood(yes bool, without, with float64) float64 {
	if yes {
		return math.Log(with / without)
	}
	return math.Log((1 - with) / (1 - without))
}

func (a *absence) estimate(alarm bool) {
	yes := 0.
	for i := range a.late.n {
		if a.late.last(i) {
			yes++
		}
	}
	share := min(yes/float64(a.late.n), mostAway)
	switch {
	case alarm:
		a.more, a.less, a.value = cusum{}, cusum{}, share
	case a.value > 0 && math.Abs(share-a.value) > leastAway:
		a.value = share
	}
	if a.value < leastAway {
		a.value = 0
	}
}

func (a *absence) suspects() bool { return a.more.suspects() || a.less.suspects() }

func (a *absence) now(at time.Time) float64 {
	if at.Sub(a.last) > forgetAfter {
		return 0
	}
	return a.value
}
