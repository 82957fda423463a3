// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"mllb/affinity"
	"mllb/bench/daemon"
	"mllb/scheduler"
	"mllb/topology"
)

// report writes --report: the summary for programs. failed is why the run
// ended, if it was not asked to.
func (s *session) report(failed error) error {
	if s.cfg.Report == "" {
		return nil
	}
	c := s.stats.read()
	r := newReport(&c, s.id, s.restored)
	r.Seconds = time.Since(s.stats.start).Seconds()
	r.CPUSeconds = (cpuTime() - s.stats.cpu).Seconds()
	r.StartCPUSeconds = s.stats.cpu.Seconds()
	if failed != nil {
		r.Error = failed.Error()
	}
	return r.Write(s.cfg.Report)
}

func newReport(c *counters, id identity, restored affinity.Report) *daemon.Report {
	return &daemon.Report{
		Schema: daemon.Schema, Mode: id.Mode, Policy: id.Policy, Model: id.Model, Snapshots: id.Rung, Enforcer: id.Enforcer,
		Ticks: c.Ticks, Quiet: c.Quiet, Spared: c.Spared, Early: c.Early, Failed: c.Failed, Missed: c.Missed,
		Asked: levels(c.Asked), Approved: levels(c.Approved), Moved: levels(c.Moves), Outside: c.Outside, Refused: refusals(c.refused()),
		HeldInPlace: c.InPlace, HoldFailed: c.HoldFailed, Released: c.Released,
		ImbalanceMean: c.imbalanceMean(), ImbalanceMax: c.ImbalanceMax,
		Restored: restored.Restored + restored.Inherited, Left: restored.Failed,
	}
}

// levels names the levels at which there was any.
func levels(by [topology.NumLevels]uint64) map[string]uint64 {
	m := make(map[string]uint64)
	for l, n := range by {
		if n > 0 {
			m[topology.Level(l).String()] = n
		}
	}
	return m
}

// refusals names the reasons that were met.
func refusals(by [scheduler.NumReasons]uint64) map[string]uint64 {
	m := make(map[string]uint64)
	for r, n := range by {
		if n > 0 {
			m[scheduler.Reason(r).String()] = n
		}
	}
	return m
}
