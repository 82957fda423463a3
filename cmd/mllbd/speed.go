// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"mllb/features"
	"mllb/features/speed"
	"mllb/scheduler"
)

// openSpeeds begins to measure what CPUs are worth. Without, that is not known of any.
func (s *session) openSpeeds() {
	if s.cfg.Speed == "off" {
		return
	}
	canary, err := speed.Open(speed.Options{Topology: s.topology, MaxCPU: s.cfg.MaxCPU / 100})
	if err != nil {
		s.log.Warn("what CPUs are worth is not known", "err", err)
		return
	}
	s.canary, s.stats.canary = canary, canary
}

func (s *session) closeSpeeds() {
	if s.canary != nil {
		s.canary.Close()
	}
}

// speedLog logs what CPUs lose and regain, once a second.
type speedLog struct {
	canary interface{ Changes() []speed.Change }
	log    *slog.Logger
	next   time.Time
}

// Tick implements scheduler.Observer.
func (l *speedLog) Tick(t *scheduler.Tick) {
	if t.Start.Before(l.next) {
		return
	}
	l.next = t.Start.Add(time.Second)
	for _, c := range l.canary.Changes() {
		l.log.Info(fmt.Sprintf("CPU %d does %.2f of its work since %s", c.CPU, c.Share, c.Since.Format(time.TimeOnly)))
	}
}

// slowestShown is how many CPUs the view and the summary name.
const slowestShown = 6

// speeds names the CPUs that are slower than the fastest, the slowest first; "" where
// nothing is known.
func (c *counters) speeds() string {
	if len(c.Speeds) == 0 {
		return ""
	}
	slow := slices.DeleteFunc(slices.Clone(c.Speeds), func(cpu speed.CPU) bool { return cpu.Speed == features.FullSpeed })
	if len(slow) == 0 {
		return "all alike"
	}
	slices.SortStableFunc(slow, func(a, b speed.CPU) int { return cmp.Compare(a.Speed, b.Speed) })
	var parts []string
	for _, cpu := range slow[:min(len(slow), slowestShown)] {
		parts = append(parts, fmt.Sprintf("cpu %d %.2f", cpu.CPU, float64(cpu.Speed)/features.FullSpeed))
	}
	if more := len(slow) - slowestShown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more below 1", more))
	}
	return strings.Join(parts, "  ")
}

func eachSpeed(value func(cpu *speed.CPU) float64) func(*counters, emit) {
	return func(c *counters, emit emit) {
		for i := range c.Speeds {
			emit(value(&c.Speeds[i]), strconv.Itoa(c.Speeds[i].CPU))
		}
	}
}

func eachLook(c *counters, emit emit) {
	if c.Looks != nil {
		emit(float64(c.Looks.Used), "used")
		emit(float64(c.Looks.Uncertain), "uncertain")
		emit(float64(c.Looks.Lost), "lost")
	}
}
