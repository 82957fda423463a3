// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"mllb/scheduler"
)

// manager tells the service manager how mllbd is (sd_notify(3)). It has a goroutine of
// its own, since a manager that does not read must not hold up the loop. A nil one
// tells nobody.
type manager struct {
	log      *slog.Logger
	states   chan string
	done     chan struct{}
	watchdog time.Duration // how often it wants to hear of ticks; 0: never
	ready    bool
	told     time.Time
}

// openManager returns the manager that started mllbd to be told. With CMD it is that
// which is the service.
func (s *session) openManager() error {
	if os.Getenv("NOTIFY_SOCKET") == "" || len(s.cfg.Command) > 0 {
		return nil
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("WATCHDOG_USEC: %w", err)
	}
	if limit > 0 && limit < 4*s.cfg.Interval {
		return fmt.Errorf("--interval: %v is too long for a watchdog of %v: at most a quarter of it", s.cfg.Interval, limit)
	}
	s.manager = &manager{log: s.log, states: make(chan string, 16), done: make(chan struct{}), watchdog: limit / 4}
	go s.manager.run()
	return nil
}

func (m *manager) run() {
	defer close(m.done)
	said := false
	for state := range m.states {
		if _, err := daemon.SdNotify(false, state); err != nil && !said {
			m.log.Warn("the service manager cannot be told", "err", err)
			said = true
		}
	}
}

// tell queues a state; a full queue loses it.
func (m *manager) tell(state string) {
	if m == nil {
		return
	}
	select {
	case m.states <- state:
	default:
	}
}

// reloading is to be followed by daemon.SdNotifyReady.
func (m *manager) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Tick implements scheduler.Observer. mllbd is ready once a tick succeeded, and well
// while there are any.
func (m *manager) Tick(t *scheduler.Tick) {
	if !m.ready && t.Err == nil {
		m.ready = true
		m.tell(daemon.SdNotifyReady)
	}
	if m.watchdog > 0 && t.Start.Sub(m.told) >= m.watchdog {
		m.told = t.Start
		m.tell(daemon.SdNotifyWatchdog)
	}
}

// close has what waits told, until then at most.
func (m *manager) close(until time.Time) {
	if m == nil {
		return
	}
	close(m.states)
	select {
	case <-m.done:
	case <-time.After(time.Until(until)):
	}
}
