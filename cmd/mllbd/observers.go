// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
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
	s.reporter = &reporter{stats: &s.stats, id: s.id, log: s.log}
	s.watcher = newWatcher(&s.stats)
	s.identify()
	s.openView()
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
	all = append(all, moveLog{s.log}, s.reporter, s.watcher)
	if s.canary != nil {
		all = append(all, &speedLog{canary: s.canary, log: s.log})
	}
	if s.manager != nil {
		all = append(all, s.manager)
	}
	return append(all, s.reloader)
}

// openView has the run be looked at: here, if that was asked for, and through the socket.
func (s *session) openView() {
	if out, size := s.viewOutput(); out != nil {
		s.view = newQueue(out, 0) // of two frames the later will do
		s.stats.outputs[toView] = s.view
		if size != nil {
			s.viewer, s.reporter.drawn = startViewer(s.watcher, s.view, size), true
		} else {
			s.reporter.out = s.view
		}
	}
	if s.cfg.Root != "/" {
		return
	}
	changes := s.cfg.Mode != "observe"
	var err error
	if s.viewServer, err = openViewServer(s.watcher, s.cfg.StateDir, changes, s.log); err != nil {
		level := slog.LevelDebug // to observe takes no state directory
		if changes {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, "mllb top cannot attach", "err", err)
	}
}

// identify tells who shows it what runs now.
func (s *session) identify() {
	interval := s.cfg.Interval
	if s.kernel.loaded() {
		interval = max(interval, schedExtInterval)
	}
	s.reporter.id = s.id
	s.watcher.identify(s.id, s.judge, interval)
	if s.metrics != nil {
		id := s.id
		s.metrics.id.Store(&id)
	}
}
