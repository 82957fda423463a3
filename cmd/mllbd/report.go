// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mllb/affinity"
	"mllb/internal/namedfile"
	"mllb/internal/runreport"
	"mllb/internal/version"
	"mllb/scheduler"
	"mllb/topology"
)

var errUnread = errors.New("nobody reads it")

// openReport opens --report before anything is changed.
func (s *session) openReport() (err error) {
	if s.cfg.Report == "" {
		return nil
	}
	if err := namedfile.Distinct(s.cfg.Report, s.cfg.Model, s.cfg.profileFile(), s.cfg.Events); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	var ctx context.Context
	ctx, s.giveUp = context.WithCancelCause(context.Background())
	if s.reportTo, err = runreport.Create(ctx, s.cfg.Report); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

// report writes --report: the summary for programs. failed is why the run
// ended, if it was not asked to.
func (s *session) report(failed error) error {
	if s.reportTo == nil {
		return nil
	}
	defer time.AfterFunc(time.Until(s.end()), func() { s.giveUp(errUnread) }).Stop()
	c := s.stats.read()
	r := newReport(&c, s.id, s.restored)
	r.Seconds = time.Since(s.stats.start).Seconds()
	r.CPUSeconds = (cpuTime() - s.stats.cpu).Seconds()
	r.StartCPUSeconds = s.stats.cpu.Seconds()
	if failed != nil {
		r.Error = failed.Error()
	}
	return r.Write(s.reportTo)
}

func newReport(c *counters, id identity, restored affinity.Report) *runreport.Report {
	r := &runreport.Report{
		Schema: runreport.Schema, Version: version.Read().String(), Mode: id.Mode, Policy: id.Policy, Model: id.Model, Snapshots: id.Backend, Enforcer: id.Enforcer,
		Counters: make(map[string]float64),
		Asked:    c.Asked.named(), Approved: c.Approved.named(), Moved: c.Moves.named(), Refused: refusals(c),
		HeldInPlace: c.InPlace, LeftOut: c.LeftOut,
		Restored: restored.Restored + restored.Inherited, Left: restored.Failed,
	}
	r.Warnings = c.Troubles
	for _, cpu := range c.Speeds {
		r.Speeds = append(r.Speeds, runreport.Speed{CPU: cpu.CPU, Min: cpu.Min, Median: cpu.Median, Last: cpu.Speed, Alarms: cpu.Alarms})
	}
	for row := range shown(inSummary) {
		r.Counters[row.key] = row.total(c)
	}
	return r
}

// named counts by the names of the levels at which there was any.
func (by *perLevel) named() map[string]uint64 {
	m := make(map[string]uint64)
	for l, n := range by {
		if n > 0 {
			m[topology.Level(l).String()] = n
		}
	}
	return m
}

// holdFailed stands beside the scheduler's reasons: the plan was made, and the
// kernel or the thread's owner was against it.
const holdFailed = "hold_failed"

// refusals names the reasons that were met.
func refusals(c *counters) map[string]uint64 {
	m := make(map[string]uint64)
	for r, n := range c.refused() {
		if n > 0 {
			m[scheduler.Reason(r).String()] = n
		}
	}
	if c.HoldFailed > 0 {
		m[holdFailed] = c.HoldFailed
	}
	return m
}
