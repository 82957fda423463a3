// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"mllb/affinity"
	"mllb/scheduler"
	"mllb/topology"
)

// moveLog logs each move and each failure to move, at debug.
type moveLog struct{ log *slog.Logger }

// Tick implements scheduler.Observer.
func (m moveLog) Tick(t *scheduler.Tick) {
	if t.Errors == nil || !m.log.Enabled(context.Background(), slog.LevelDebug) { // nil: observe, or no plan
		return
	}
	for i := range t.Plan.Candidates {
		c := &t.Plan.Candidates[i]
		if c.Hold < 0 {
			continue
		}
		th := &t.Snapshot.Threads[c.Thread]
		m.log.Debug("move", "tid", th.TID, "comm", th.Name(), "from", c.From, "to", c.To,
			"level", c.Level.String(), "active", c.Active, "err", t.Errors[c.Hold])
	}
}

// summary says at the end what was done, and that it is undone.
func (s *session) summary() {
	if !s.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	c, up := s.stats.read(), time.Since(s.stats.start)
	share := 100 * (cpuTime() - s.stats.cpu).Seconds() / up.Seconds()
	if s.cfg.LogForm != "json" {
		writeSummary(s.stderr, &c, up, share, s.cfg.Mode, s.restored)
		return
	}
	if k := c.Compared; k != nil {
		s.log.Info("agreement", "stay_stay", k.By[0][0], "stay_migrate", k.By[0][1], "migrate_stay", k.By[1][0],
			"migrate_migrate", k.By[1][1], "out_of_distribution", k.OutOfDistribution, "lost", k.Drops)
	}
	args := []any{"seconds", up.Seconds(), "left_out", topology.DescribeLeftOut(c.LeftOut)}
	if up >= shareFrom {
		args = append(args, "cpu_percent", share)
	}
	for r := range shown(inSummary) {
		args = append(args, r.key, logValue(r.total(&c)))
	}
	s.log.Info("summary", append(args, "refused", c.reasons(),
		"restored", s.restored.Restored+s.restored.Inherited, "left", s.restored.Failed)...)
}

// shareFrom is how long a run has to be for its share of a CPU to mean anything: what
// starting costs is over by then.
const shareFrom = time.Second

func writeSummary(w io.Writer, c *counters, up time.Duration, share float64, mode string, r affinity.Report) {
	of := func(u unit) string {
		return list(inSummary, u, ", ", c, func(r *counter) string { return r.withLabels(c) })
	}
	if up < shareFrom {
		fmt.Fprintf(w, "mllbd: in %d ms: %s\n", up.Milliseconds(), of(unitTicks))
	} else {
		fmt.Fprintf(w, "mllbd: in %.1f s: %s; %.2f %% of one CPU\n", up.Seconds(), of(unitTicks), share)
	}
	fmt.Fprintf(w, "mllbd: decisions: %s\n", of(unitDecisions))
	fmt.Fprintf(w, "mllbd: %s; refused: %s\n", of(unitHolds), c.reasons())
	if wakes := of(unitWakes); wakes != "" {
		fmt.Fprintf(w, "mllbd: sched_ext: %s\n", wakes)
	}
	for _, with := range c.agreements() {
		fmt.Fprintf(w, "mllbd: agrees with %s\n", with)
	}
	fmt.Fprintf(w, "mllbd: %s\n", of(unitTasks))
	if len(c.LeftOut) > 0 {
		fmt.Fprintf(w, "mllbd: CPUs left out: %s\n", topology.DescribeLeftOut(c.LeftOut))
	}
	if speeds := c.speeds(); speeds != "" {
		fmt.Fprintf(w, "mllbd: speeds: %s; %s\n", speeds, of(unitLooks))
	}
	if unread := of(unitThreads); unread != "" {
		fmt.Fprintf(w, "mllbd: threads: %s\n", unread)
	}
	for _, trouble := range c.Troubles {
		fmt.Fprintf(w, "mllbd: warning: %s\n", trouble)
	}
	if lost := of(unitWrites); lost != "" {
		fmt.Fprintf(w, "mllbd: %s\n", lost)
	}
	if mode != "observe" {
		fmt.Fprintf(w, "mllbd: %s; %d left\n", r, r.Failed)
	}
}
