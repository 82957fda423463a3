// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mllb/internal/number"
	"mllb/scheduler"
	"mllb/topology"
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

// line logs what is now, and what happened since the last line.
func (r *reporter) line(c *counters, share float64) {
	var args []any
	for row := range shown(inLog) {
		args = append(args, row.key, logValue(row.since(c, &r.before)))
	}
	r.log.Info("balance", append(args, "cpu_share", fmt.Sprintf("%.2f%%", 100*share))...)
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
	// A terminal that went away is no reason to end.
	if _, err := r.out.Write(b); !errors.Is(err, errDropped) {
		r.lines = strings.Count(text, "\n")
	}
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
		id.Mode, id.policy(), id.Backend, id.Enforcer, up.Round(time.Second))
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.CPUs == 0 {
			continue
		}
		fmt.Fprintf(&b, "node %-2d %3d cpus  %s  queued %d  imbalance %d\n",
			n.ID, n.CPUs, bars(n.Queue), n.Total, n.Max-n.Min)
	}
	if len(c.LeftOut) > 0 {
		fmt.Fprintf(&b, "left out   cpus %s\n", topology.DescribeLeftOut(c.LeftOut))
	}
	if speeds := c.speeds(); speeds != "" {
		fmt.Fprintf(&b, "speeds     %s\n", speeds)
	}
	plain := func(r *counter) string { return number.Num(r.total(c)).String() }
	both := func(r *counter) string { return fmt.Sprintf("%s (+%s)", plain(r), number.Num(r.since(c, before))) }
	fmt.Fprintf(&b, "%s  %s\n", list(inView, unitThreads, "  ", c, plain), list(inView, unitTasks, "  ", c, plain))
	fmt.Fprintf(&b, "decisions  %s\n", list(inView, unitDecisions, "  ", c, both))
	if wakes := list(inView, unitWakes, "  ", c, both); wakes != "" {
		fmt.Fprintf(&b, "sched_ext  %s\n", wakes)
	}
	for _, with := range c.agreements() {
		fmt.Fprintf(&b, "agrees     %s\n", with)
	}
	fmt.Fprintf(&b, "refused    %s\n", c.reasons())
	fmt.Fprintf(&b, "mllbd      cpu %.2f%%  %s", 100*share, list(inView, unitTicks, "  ", c, plain))
	if lost := list(inView, unitWrites, "  ", c, both); lost != "" {
		b.WriteString("  " + lost)
	}
	if c.LastErr != "" {
		fmt.Fprintf(&b, "  last error: %s", strings.ReplaceAll(c.LastErr, "\n", " "))
	}
	b.WriteByte('\n')
	if c.Other != "" {
		fmt.Fprintf(&b, "standby    beside the sched_ext scheduler %s: nothing is changed\n", c.Other)
	}
	for _, trouble := range c.Troubles {
		fmt.Fprintf(&b, "warning    %s\n", trouble)
	}
	return b.String()
}

// policy names the policy with its model, where it has one.
func (id identity) policy() string {
	if id.Model == "" {
		return id.Policy
	}
	return id.Policy + " (" + id.Model + ")"
}

// maxBars leaves a terminal of 80 columns room for the rest of a node's line.
const maxBars = 32

// bars draws one column for each queue, by its length: a dot for an empty one, then
// digits, then '+'. Where that were more than maxBars, a column is the longest of
// several, such as "[3232]/4".
func bars(queue []uint32) string {
	const digits = ".123456789+"
	each := max(1, (len(queue)+maxBars-1)/maxBars)
	b := []byte{'['}
	for some := range slices.Chunk(queue, each) {
		b = append(b, digits[min(slices.Max(some), uint32(len(digits)-1))])
	}
	b = append(b, ']')
	if each > 1 {
		b = fmt.Appendf(b, "/%d", each)
	}
	return string(b)
}

// reasons lists what refused candidates, in the order of the constants, and
// holds that failed.
func (c *counters) reasons() string {
	var parts []string
	for r, n := range c.refused() {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", scheduler.Reason(r), n))
		}
	}
	if c.HoldFailed > 0 {
		parts = append(parts, fmt.Sprintf("%s %d", holdFailed, c.HoldFailed))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "  ")
}
