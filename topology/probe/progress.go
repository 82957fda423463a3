// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math/bits"
	"time"
)

// The stages of a probe, in order.
const (
	stageSpeeds = iota
	stageGroups
	stagePairs
	stageAgain
	stageCaches
	stages
)

// progress tells how far a probe is by what the stages are expected to take.
type progress struct {
	tell  func(share float64)
	costs [stages]float64
	stage int
}

// plan estimates what the stages take.
func (r *run) plan() {
	n := len(r.cpus)
	r.bar = progress{tell: r.Progress, costs: [stages]float64{
		stageSpeeds: float64(n*aloneRounds) * aloneTime.Seconds(),
		stageGroups: float64(minShuffles*2*bits.Len(uint(n-1))) * groupTime.Seconds(),
		stagePairs:  float64(minRounds*len(pairTurns)) * pairTime.Seconds(),
		stageAgain:  float64(n*lateRounds) * aloneTime.Seconds(),
		stageCaches: float64(n*minRounds) * (500 * time.Microsecond).Seconds(),
	}}
}

// enter says that a stage begins.
func (p *progress) enter(stage int) {
	p.stage = stage
	p.step(0)
}

// step says how much of the stage is done.
func (p *progress) step(share float64) {
	if p.tell == nil {
		return
	}
	all, done := 0.0, 0.0
	for i, cost := range p.costs {
		all += cost
		switch {
		case i < p.stage:
			done += cost
		case i == p.stage:
			done += min(share, 1) * cost
		}
	}
	p.tell(done / all)
}
