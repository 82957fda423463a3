// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/internal/number"
	display "mllb/internal/progress"
)

// progress tells a person how far a collection is.
type progress interface {
	due() bool
	show(c *collector)
	end()
}

// newProgress is drawn where a person looks, else written to lossy, which stands before
// stderr; as JSON, for who started it.
func newProgress(stderr, lossy io.Writer, json bool) progress {
	if json {
		return &logged{log: slog.New(slog.NewJSONHandler(lossy, nil))}
	}
	if f, ok := stderr.(*os.File); ok && namedfile.Drawable(f) {
		return &shown{display: display.New(f, "mllb collect")}
	}
	return &shown{display: display.New(lossy, "mllb collect")}
}

// lossy is a writer that never blocks: the ring must be drained, also while a
// terminal is stopped by ^S. What comes while a write waits is dropped.
type lossy chan []byte

// newLossy also returns what waits for the last write, a second at most.
func newLossy(to io.Writer) (lossy, func()) {
	l, done := make(lossy, 1), make(chan struct{})
	go func() {
		defer close(done)
		for b := range l {
			_, _ = to.Write(b) // it is only the progress
		}
	}()
	return l, func() {
		close(l)
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

func (l lossy) Write(b []byte) (int, error) {
	select {
	case l <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}

// pace says when it is time for the next report.
type pace struct {
	next   time.Time
	before uint64 // usable records at the last report
	at     time.Time
}

func (p *pace) dueAfter(every time.Duration) bool {
	now := time.Now()
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(every)
	return true
}

// rate is usable records a second since the last report.
func (p *pace) rate(c *collector) float64 {
	since := p.at
	if since.IsZero() {
		since = c.start
	}
	now := time.Now()
	rate := float64(c.usable()-p.before) / max(now.Sub(since).Seconds(), 1e-3)
	p.before, p.at = c.usable(), now
	return rate
}

// shown is the progress for a person.
type shown struct {
	pace
	display *display.Display
}

func (s *shown) due() bool { return s.dueAfter(time.Second) }

func (s *shown) show(c *collector) { s.display.Set(c.state(s.rate(c), time.Since(c.start))) }

func (s *shown) end() { s.display.End() }

// state is how far it is, where there is an end, and the numbers.
func (c *collector) state(rate float64, up time.Duration) display.State {
	s := display.State{Share: display.Endless, Doing: fmt.Sprintf("%d usable of %d, %.0f/s, stay %s, drops %d, %v",
		c.usable(), c.records(), rate, c.stayShare(), c.counters.Drops(), up.Round(time.Second))}
	if c.want > 0 {
		s.Share = float64(c.usable()) / float64(c.want)
	}
	if c.duration > 0 {
		s.Share = max(s.Share, up.Seconds()/c.duration.Seconds())
	}
	return s
}

// stayShare is the balance of the labels, as text.
func (c *collector) stayShare() string {
	return number.Share(c.labels[0], c.usable()).Percent(2)
}

// logged is the progress for a program.
type logged struct {
	pace
	log *slog.Logger
}

func (l *logged) due() bool { return l.dueAfter(5 * time.Second) }

func (l *logged) show(c *collector) {
	l.log.Info("collecting", "usable", c.usable(), "records", c.records(), "rate", fmt.Sprintf("%.0f/s", l.rate(c)),
		"stay", c.labels[0], "migrate", c.labels[1], "drops", c.counters.Drops())
}

func (l *logged) end() {}

// summary says what the file holds and accounts for every call.
func (c *collector) summary(to io.Writer, path, backend string) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s: %s, %d usable (stay %d, migrate %d) in %v by %s\n",
		path, number.Of(c.records(), "record"), c.usable(), c.labels[0], c.labels[1], c.elapsed.Round(100*time.Millisecond), backend)
	n := &c.counters
	fmt.Fprintf(w, "calls %d = records %d + filtered %d + drops %d", n.Calls, n.Records, n.Filtered, n.Drops())
	if n.Drops() > 0 {
		fmt.Fprintf(w, " (ring full %d, return not seen %d, entry not seen %d)", n.Full, n.Unpaired, n.Missed)
	}
	fmt.Fprintf(w, "\nnot usable:%s\n", conditionCounts(c.by, features.Passed+1))
	contradictions := c.source.Contradictions()
	fmt.Fprintf(w, "contradictions between the replayed conditions and the kernel's counters:%s\n", conditionCounts(contradictions, features.Passed))
	_, err := io.WriteString(to, w.String())
	return err
}

// conditionCounts lists what is not 0, from the condition on.
func conditionCounts(by [features.NumConditions]uint64, from features.Condition) string {
	var s strings.Builder
	for c := from; c < features.NumConditions; c++ {
		if by[c] > 0 {
			fmt.Fprintf(&s, " %s %d", c, by[c])
		}
	}
	if s.Len() == 0 {
		return " none"
	}
	return s.String()
}
