// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"io"
	"regexp"
	"sync"
)

// severity is what a console line says of the guest.
type severity uint8

const (
	fine     severity = iota
	warned            // a WARNING: the guest goes on, its results may stand
	stalled           // soft lockup, hung task, RCU stall: common when emulated CPUs wait for host CPUs
	oopsed            // the kernel's state is not to be trusted any more
	panicked          // the kernel stopped
)

// consoleRules are tried in order, the first match counts. The header of
// die() ends in "[#N]" on every x86 kernel ("int3: 0000 [#1]", since 6.9
// "Oops: int3: 0000 [#1]", arch/x86/kernel/dumpstack.c); user-space faults
// print "traps: comm[pid] trap int3 ip:" and are nobody's oops.
var consoleRules = []struct {
	pattern *regexp.Regexp
	is      severity
}{
	{regexp.MustCompile(`(soft|hard) LOCKUP|soft lockup|hard lockup|workqueue lockup`), stalled},
	{regexp.MustCompile(`INFO: task .* blocked for more than`), stalled},
	{regexp.MustCompile(`rcu: INFO: \w+ (self-)?detected|detected( expedited)? stalls`), stalled},
	{regexp.MustCompile(`Kernel panic - not syncing`), panicked},
	{regexp.MustCompile(`\[#\d+\]`), oopsed},
	{regexp.MustCompile(`kernel BUG at|Unable to handle kernel`), oopsed},
	{regexp.MustCompile(`^(\[[ \d.]+\]\s*)?BUG: `), oopsed},
	{regexp.MustCompile(`WARNING: (CPU|possible|suspicious)`), warned},
}

func classify(line []byte) severity {
	for _, r := range consoleRules {
		if r.pattern.Match(line) {
			return r.is
		}
	}
	return fine
}

const (
	consoleTail = 40   // lines kept for the error
	consoleLine = 1024 // longer lines are cut, so that a guest cannot fill our memory
)

// console watches what the guest's kernel prints.
type console struct {
	mu     sync.Mutex
	copyTo io.Writer // may be nil
	part   []byte
	tail   []string
	worst  severity
	cause  string // the first line of an oops or, without one, of a panic
	warns  []string
	stalls []string
	dead   chan struct{} // closed at the first oops or panic
}

func newConsole(copyTo io.Writer) *console {
	return &console{copyTo: copyTo, dead: make(chan struct{})}
}

// Write takes the console's bytes as they come.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.copyTo != nil {
		if _, err := c.copyTo.Write(p); err != nil {
			return 0, err
		}
	}
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		c.part = append(c.part, line[:min(len(line), max(0, consoleLine-len(c.part)))]...)
		if !whole {
			return n, nil
		}
		c.line(bytes.TrimRight(c.part, "\r"))
		c.part, p = c.part[:0], rest
	}
}

func (c *console) line(b []byte) {
	text := printable(b)
	c.tail = keepLast(c.tail, text, consoleTail)
	is := classify(b)
	switch is {
	case warned:
		c.warns = append(c.warns, text)
	case stalled:
		c.stalls = append(c.stalls, text)
	case oopsed, panicked:
		if c.worst < oopsed {
			c.cause = text // oops=panic: the panic that follows an oops is not the cause
			c.worst = is
			close(c.dead)
		}
	}
}

// printable keeps a hostile or garbled console from steering the terminal.
func printable(b []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, b))
}

// report is what the console said so far.
type report struct {
	Worst    severity
	Cause    string
	Tail     []string
	Warnings []string
	Stalls   []string
}

func (c *console) report() report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return report{c.worst, c.cause, append([]string(nil), c.tail...), c.warns, c.stalls}
}
