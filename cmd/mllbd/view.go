// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"mllb/scheduler"
)

// reporter tells a person, once a second, what mllbd does: by a view redrawn in
// place on a terminal, by blocks of the same on anything else if --view asks
// for it, or by log lines.
type reporter struct {
	stats *stats
	id    identity
	log   *slog.Logger

	out   io.Writer // where the view goes; nil: log lines
	ansi  bool      // out is a terminal
	width func() int

	next    time.Time
	before  counters
	cpu     time.Duration
	at      time.Time
	lines   int // drawn last, to be drawn over
	scratch []byte
}

const reportEvery = time.Second

// Tick reports, if it is time to.
func (r *reporter) Tick(t *scheduler.Tick) {
	if t.Start.Before(r.next) {
		return
	}
	first := r.at.IsZero()
	cpu, now := cpuTime(), t.Start
	share := 0.0
	if !first {
		share = (cpu - r.cpu).Seconds() / now.Sub(r.at).Seconds()
	}
	r.next = now.Add(reportEvery - reportEvery/100) // ticks jitter
	c := r.stats.read()
	switch {
	case r.out != nil:
		r.draw(&c, share)
	case !first:
		r.line(&c, share)
	}
	r.before, r.cpu, r.at = c, cpu, now
}

// line logs what happened since the last line.
func (r *reporter) line(c *counters, share float64) {
	b := &r.before
	r.log.Info("balance",
		"imbalance", c.Imbalance, "managed", c.Managed, "held", c.Held,
		"asked", total(c.Asked)-total(b.Asked), "approved", total(c.Approved)-total(b.Approved),
		"moved", total(c.Moves)-total(b.Moves), "failed", c.HoldFailed-b.HoldFailed, "spared", c.Spared-b.Spared,
		"cpu_share", fmt.Sprintf("%.2f%%", 100*share))
}

// draw writes the view over the one before.
func (r *reporter) draw(c *counters, share float64) {
	text := render(r.id, c, &r.before, share, time.Since(r.stats.start))
	width := 0
	if r.ansi {
		width = r.width()
	}
	b := r.scratch[:0]
	if r.ansi && r.lines > 0 {
		b = fmt.Appendf(b, "\x1b[%dA", r.lines)
	}
	r.lines = strings.Count(text, "\n")
	for line := range strings.Lines(text) {
		line = clip(strings.TrimSuffix(line, "\n"), width)
		b = append(b, line...)
		if r.ansi {
			b = append(b, "\x1b[K"...) // clear to the end of the line
		}
		b = append(b, '\n')
	}
	if r.ansi {
		b = append(b, "\x1b[J"...) // nothing of a longer view stays below
	}
	r.scratch = b
	_, _ = r.out.Write(b) // a terminal that went away is no reason to end
}

// clip cuts a line to the terminal's width, for a wrapped line would not be
// drawn over. 0 is no limit.
func clip(line string, width int) string {
	runes := []rune(line)
	if width <= 0 || len(runes) <= width {
		return line
	}
	return string(runes[:width])
}

// render is the view as text.
func render(id identity, c, before *counters, share float64, up time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "mllbd  %s  policy %s  snapshots %s  enforcer %s  up %v\n",
		id.Mode, id.policy(), id.Rung, id.Enforcer, up.Round(time.Second))
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.CPUs == 0 {
			continue
		}
		fmt.Fprintf(&b, "node %-2d %3d cpus  %s  queued %d  imbalance %d\n",
			n.ID, n.CPUs, bars(n.Queue), n.Total, n.Max-n.Min)
	}
	fmt.Fprintf(&b, "threads %d  managed %d  held %d  imbalance now %d  mean %.2f  max %d\n",
		c.Threads, c.Managed, c.Held, c.Imbalance, c.imbalanceMean(), c.ImbalanceMax)
	fmt.Fprintf(&b, "decisions  asked %d (+%d)  approved %d (+%d)  moved %d (+%d)",
		total(c.Asked), total(c.Asked)-total(before.Asked), total(c.Approved), total(c.Approved)-total(before.Approved),
		total(c.Moves), total(c.Moves)-total(before.Moves))
	if c.Outside > 0 {
		fmt.Fprintf(&b, "  outside the model's data %d (+%d)", c.Outside, c.Outside-before.Outside)
	}
	b.WriteByte('\n')
	if c.Compared != nil {
		fmt.Fprintf(&b, "agrees     %s\n", c.Compared)
	}
	fmt.Fprintf(&b, "refused    %s\n", reasons(c.refused()))
	fmt.Fprintf(&b, "mllbd      cpu %.2f%%  ticks %d  early %d  failed %d  missed %d  spared %d", 100*share, c.Ticks, c.Early, c.Failed, c.Missed, c.Spared)
	if c.LastErr != "" {
		fmt.Fprintf(&b, "  last error: %s", strings.ReplaceAll(c.LastErr, "\n", " "))
	}
	b.WriteByte('\n')
	return b.String()
}

// policy names the policy with its model, where it has one.
func (id identity) policy() string {
	if id.Model == "" {
		return id.Policy
	}
	return id.Policy + " (" + id.Model + ")"
}

// bars draws one column for each queue up to maxBars, by its length: a dot for
// an empty one, then digits, then '+'.
func bars(queue []uint32) string {
	const digits, maxBars = ".123456789+", 64
	b := make([]byte, 0, maxBars+2)
	b = append(b, '[')
	for i, q := range queue {
		if i == maxBars {
			b = append(b, "..."...)
			break
		}
		b = append(b, digits[min(q, uint32(len(digits)-1))])
	}
	return string(append(b, ']'))
}

// reasons lists what refused candidates, in the order of the constants.
func reasons(by [scheduler.NumReasons]uint64) string {
	var parts []string
	for r, n := range by {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", scheduler.Reason(r), n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "  ")
}
