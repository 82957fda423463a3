// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"time"

	"mllb/internal/number"
)

// forecast says how long the rest takes: after the first run, and once each arm has
// made its warm-up runs.
func (p *progress) forecast(r *Record) {
	rest := p.order[min(p.at, len(p.order)):]
	warm := r.Warmup() && len(rest) > 0 && !rest[0].Warmup()
	if p.told > 0 && !warm || len(rest) == 0 {
		return
	}
	left, ok := p.remaining()
	if !ok {
		return
	}
	p.told++
	p.say("%s left: about %s, until %s", number.Of(len(rest), "run"), brief(left), p.now().Add(left).Format("Mon 15:04"))
}

// left is how far it is and how long the rest should take.
func (p *progress) left() string {
	text := fmt.Sprintf("%d of %d runs", p.at, len(p.order))
	if left, ok := p.remaining(); ok {
		text += fmt.Sprintf(", about %s left", brief(left))
	}
	return text
}

// remaining is the time of all runs that are due, each as long as those like it took so
// far, if there was any.
func (p *progress) remaining() (left time.Duration, ok bool) {
	var all time.Duration
	runs := 0
	for _, r := range p.rows {
		all, runs = all+r.took, runs+r.runs
	}
	if runs == 0 {
		return 0, false
	}
	for _, s := range p.order[min(p.at, len(p.order)):] {
		switch r := p.rows[s.pair()]; {
		case r.gone:
		case r.runs > 0:
			left += r.took / time.Duration(r.runs)
		default:
			left += all / time.Duration(runs)
		}
	}
	return left, true
}

func brief(d time.Duration) string {
	switch {
	case d > time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d > time.Minute:
		return fmt.Sprintf("%d min", int((d + time.Minute/2).Minutes()))
	}
	return fmt.Sprintf("%d s", int((d + time.Second/2).Seconds()))
}
