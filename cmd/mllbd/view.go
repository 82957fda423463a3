// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mllb/internal/number"
	"mllb/internal/screen"
	"mllb/scheduler"
	"mllb/topology"
)

// reporter tells a person, once a second, what mllbd does: by blocks of text if --view
// asks for them on what is no terminal, or by log lines. At a terminal viewer draws.
type reporter struct {
	stats *stats
	id    identity
	log   *slog.Logger

	out   io.Writer // where blocks of text go; nil: log lines
	drawn bool      // neither: the live view is drawn

	next   time.Time
	before counters
	cpu    time.Duration
	at     time.Time
}

const reportEvery = time.Second

// Tick reports, if it is time to.
func (r *reporter) Tick(t *scheduler.Tick) {
	if r.drawn || t.Start.Before(r.next) {
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
		_, _ = io.WriteString(r.out, render(r.id, &c, &r.before, share, time.Since(r.stats.start)))
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

// render is the view as text.
func render(id identity, c, before *counters, share float64, up time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "mllbd  %s  policy %s  snapshots %s  enforcer %s  up %v  cpu %.2f%%\n",
		id.Mode, id.policy(), id.Backend, id.Enforcer, up.Round(time.Second), 100*share)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.CPUs == 0 {
			continue
		}
		fmt.Fprintf(&b, "node %-2d %3d cpus  %s  queued %d  imbalance %d\n",
			n.ID, n.CPUs, bars(n.Queue), n.Total, n.Max-n.Min)
	}
	for _, row := range rows(c, before) {
		fmt.Fprintf(&b, "%-10s %s\n", row.Name, row.Text)
	}
	return b.String()
}

// rows are what the view says beside the map of the machine.
func rows(c, before *counters) (rows []screen.Row) {
	plain := func(r *counter) string { return number.Num(r.total(c)).String() }
	both := func(r *counter) string { return fmt.Sprintf("%s (+%s)", plain(r), number.Num(r.since(c, before))) }
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, screen.Row{Name: name, Text: text})
		}
	}
	add("threads", strings.TrimPrefix(list(inView, unitThreads, "  ", c, plain), "threads ")+"  "+
		strings.NewReplacer("imbalance mean", "mean", "imbalance max", "max").Replace(list(inView, unitTasks, "  ", c, plain)))
	add("decisions", list(inView, unitDecisions, "  ", c, both))
	add("refused", c.reasons())
	add("ticks", strings.TrimPrefix(list(inView, unitTicks, "  ", c, plain), "ticks "))
	add("sched_ext", list(inView, unitWakes, "  ", c, both))
	for _, with := range c.agreements() {
		add("agrees", with.String())
	}
	add("speeds", c.speeds())
	if len(c.LeftOut) > 0 {
		add("left out", "cpus "+topology.DescribeLeftOut(c.LeftOut))
	}
	add("lost", list(inView, unitWrites, "  ", c, both))
	for _, w := range c.warnings() {
		rows = append(rows, screen.Row{Name: "warning", Text: w, Warning: true})
	}
	return rows
}

// warnings are why little or nothing happens.
func (c *counters) warnings() (warnings []string) {
	if c.LastErr != "" {
		warnings = append(warnings, "last error: "+strings.ReplaceAll(c.LastErr, "\n", " "))
	}
	if c.Other != "" {
		warnings = append(warnings, fmt.Sprintf("beside the sched_ext scheduler %s: nothing is changed", c.Other))
	}
	return append(warnings, c.Troubles...)
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
