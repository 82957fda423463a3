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
	for i, err := range t.Errors {
		from := t.Plan.From[i]
		if from < 0 {
			continue
		}
		c := &t.Plan.Candidates[from]
		th := &t.Snapshot.Threads[c.Thread]
		m.log.Debug("move", "tid", th.TID, "comm", th.Name(), "from", c.From, "to", c.To,
			"level", c.Level.String(), "active", c.Active, "err", err)
	}
}

// summary says at the end what was done, and that it is undone.
func (s *session) summary() {
	if !s.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	c, up := s.stats.read(), time.Since(s.stats.start)
	share := 100 * (cpuTime() - s.stats.cpu).Seconds() / up.Seconds()
	if s.cfg.LogForm == "json" {
		if k := c.Compared; k != nil {
			s.log.Info("agreement", "stay_stay", k.By[0][0], "stay_migrate", k.By[0][1], "migrate_stay", k.By[1][0],
				"migrate_migrate", k.By[1][1], "outside", k.Outside, "lost", k.Drops)
		}
		s.log.Info("summary", "seconds", up.Seconds(), "ticks", c.Ticks, "failed", c.Failed, "missed", c.Missed, "early", c.Early, "spared", c.Spared,
			"asked", total(c.Asked), "approved", total(c.Approved), "outside", c.Outside, "moved", total(c.Moves), "held_in_place", c.InPlace,
			"refused", reasons(c.refused()), "imbalance_mean", c.imbalanceMean(), "imbalance_max", c.ImbalanceMax,
			"cpu_percent", share, "restored", s.restored.Restored+s.restored.Inherited, "left", s.restored.Failed)
		return
	}
	writeSummary(s.stderr, &c, up, share, s.cfg.Mode, s.restored)
}

func writeSummary(w io.Writer, c *counters, up time.Duration, share float64, mode string, r affinity.Report) {
	fmt.Fprintf(w, "mllbd: %d ticks in %.1f s (%d early, %d failed, %d missed, %d spared), %.2f %% of one CPU\n",
		c.Ticks, up.Seconds(), c.Early, c.Failed, c.Missed, c.Spared, share)
	fmt.Fprintf(w, "mllbd: decisions asked %d, approved %d, moved %d%s; held in place %d; refused: %s\n",
		total(c.Asked), total(c.Approved), total(c.Moves), byLevel(c.Moves), c.InPlace, reasons(c.refused()))
	if c.Outside > 0 {
		fmt.Fprintf(w, "mllbd: of %d decisions %d were outside the model's training data; policy cfs answered them\n", total(c.Asked), c.Outside)
	}
	if c.Compared != nil {
		fmt.Fprintf(w, "mllbd: agrees with %s\n", c.Compared)
	}
	fmt.Fprintf(w, "mllbd: imbalance mean %.2f, max %d\n", c.imbalanceMean(), c.ImbalanceMax)
	if mode != "observe" {
		fmt.Fprintf(w, "mllbd: %s; %d left\n", r, r.Failed)
	}
}

// byLevel lists the levels at which there were moves.
func byLevel(moves [topology.NumLevels]uint64) (text string) {
	for l, n := range moves {
		if n == 0 {
			continue
		}
		sep := ", "
		if text == "" {
			sep = " ("
		}
		text += fmt.Sprintf("%s%s %d", sep, topology.Level(l), n)
	}
	if text != "" {
		text += ")"
	}
	return text
}
