// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"time"

	"mllb/scheduler"
)

// maxNap is for how long mllbd sleeps at most while --max-cpu leaves ticks out: SIGHUP,
// and a scheduler beside which it gives back what it holds, have to wait for so long.
const maxNap = time.Second

func (s *session) maxNap() time.Duration {
	if s.manager != nil && s.manager.watchdog > 0 {
		return min(maxNap, s.manager.watchdog)
	}
	return maxNap
}

// loopTime is the CPU time that --max-cpu limits. Who asks for metrics, and how often,
// takes nothing from the loop.
func (s *session) loopTime() time.Duration { return cpuTime() - s.server.cpuTime() }

// observers are told of each tick in turn.
type observers []scheduler.Observer

// Tick implements scheduler.Observer.
func (o observers) Tick(t *scheduler.Tick) {
	for _, each := range o {
		each.Tick(t)
	}
}

func (s *session) observers() observers {
	r := &reporter{stats: &s.stats, id: s.id, log: s.log}
	var out io.Writer
	if out, r.ansi, r.width = s.viewOutput(); out != nil {
		s.view = newQueue(out, 0) // of two views the later will do
		r.out, s.stats.outputs[toView] = s.view, s.view
	}
	s.reporter = r
	all := observers{&s.stats}
	if s.kernel != nil {
		all = append(all, s.kernel)
	}
	all = append(all, &s.troubles)
	if s.agreement != nil {
		all = append(all, s.agreement)
	}
	if s.events != nil {
		all = append(all, s.events)
	}
	all = append(all, moveLog{s.log}, r)
	if s.canary != nil {
		all = append(all, &speedLog{canary: s.canary, log: s.log})
	}
	if s.manager != nil {
		all = append(all, s.manager)
	}
	return append(all, s.reloader)
}
