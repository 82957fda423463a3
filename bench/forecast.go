// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"mllb/internal/number"
	"mllb/internal/progress"
)

// forecast says how long the rest takes: after the first run, and once each arm has
// made its warm-up runs.
func (p *board) forecast(r *Record) {
	rest := p.order[min(p.at, len(p.order)):]
	warm := r.Warmup() && len(rest) > 0 && !rest[0].Warmup()
	if p.told > 0 && !warm || len(rest) == 0 {
		return
	}
	left, ok := p.rest()
	if !ok {
		return
	}
	p.told++
	p.Say("%s left: about %s, until %s", number.Of(len(rest), "run"), progress.Brief(left), p.now().Add(left).Format("Mon 15:04"))
}
