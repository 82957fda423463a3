// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/scheduler"
)

// eventsFlush is how long a line waits for others to be written with, and
// eventsBuffer how many bytes of them are enough.
const (
	eventsFlush  = time.Second
	eventsBuffer = 1 << 16
)

// events appends one JSON line for each decision that was put to the policy,
// and for each active balance, to a file.
type events struct {
	path    string
	out     *queue
	policy  string
	set     *features.Set
	names   []string // of the features, quoted for JSON
	flushed time.Time
	size    int // of the lines since

	line   []byte
	values []float32
}

// openEvents opens path for appending. Features are named and scaled as set
// has them.
func openEvents(path, policy string, set *features.Set, log *slog.Logger) (*events, error) {
	f, err := namedfile.Log(path, os.O_APPEND)
	if err != nil {
		return nil, fmt.Errorf("open events file: %w", err)
	}
	e := &events{path: path, out: newQueue(f, queueLimit), policy: policy}
	e.out.onError = func(err error) { log.Error("events are being lost", "err", err) }
	e.describe(set)
	return e, nil
}

// describe has decisions described by the features of a set.
func (e *events) describe(set *features.Set) {
	e.set, e.values, e.names = set, make([]float32, len(set.Features)), nil
	for _, name := range set.Names() {
		e.names = append(e.names, string(appendJSON(nil, name)))
	}
}

// rotates says whether events go to a regular file, which somebody may rename.
func (e *events) rotates() bool {
	info, err := os.Stat(e.path)
	return err == nil && info.Mode().IsRegular()
}

// reopen goes on in the file that has the name now, or in a new one.
func (e *events) reopen() error {
	f, err := namedfile.Log(e.path, os.O_APPEND)
	if err != nil {
		return fmt.Errorf("open events file: %w", err)
	}
	e.out.replace(f)
	return nil
}

// Tick writes the decisions of one tick.
func (e *events) Tick(t *scheduler.Tick) {
	if t.Plan != nil {
		for i := range t.Plan.Candidates {
			if c := &t.Plan.Candidates[i]; c.Asked || c.Active {
				e.write(t, c)
			}
		}
	}
	if t.Start.Sub(e.flushed) >= eventsFlush || e.size >= eventsBuffer {
		e.flushed, e.size = t.Start, 0
		e.out.wake()
	}
}

func (e *events) write(t *scheduler.Tick, c *scheduler.Candidate) {
	applied, why := outcome(t, c)
	th := &t.Snapshot.Threads[c.Thread]
	b := append(e.line[:0], `{"time":"`...)
	b = t.Start.UTC().AppendFormat(b, time.RFC3339Nano)
	b = appendInt(b, `","task":{"tid":`, int64(th.TID))
	b = appendInt(b, `,"tgid":`, int64(th.TGID))
	b = append(b, `,"start":`...)
	b = strconv.AppendUint(b, th.Start, 10)
	b = append(b, `,"comm":`...)
	b = appendJSON(b, th.Name())
	b = appendInt(b, `},"from":`, int64(c.From))
	b = appendInt(b, `,"to":`, int64(c.To))
	b = append(append(append(b, `,"level":"`...), c.Level.String()...), '"')
	b = appendWorth(b, &c.Decision)
	if c.Asked {
		b = e.appendVerdict(b, c)
	}
	if c.Active {
		b = append(b, `,"active":true`...)
	}
	b = appendFloat(append(b, `,"gain":`...), float64(c.Gain)/features.FullSpeed)
	b = append(appendJSON(append(b, `,"policy":`...), e.policy), `,"applied":`...)
	b = append(strconv.AppendBool(b, applied), `,"why":`...)
	b = append(appendJSON(b, why), "}\n"...)
	e.line = b
	e.size += len(b)
	e.out.add(b)
}

// appendWorth tells what the two CPUs are worth, by the names of a dataset's columns.
func appendWorth(b []byte, d *features.Decision) []byte {
	b = appendInt(b, `,"src_speed":`, int64(d.SrcSpeed))
	b = appendInt(b, `,"dst_speed":`, int64(d.DstSpeed))
	b = appendInt(b, `,"src_busy_siblings":`, int64(d.SrcBusySiblings))
	return appendInt(b, `,"dst_busy_siblings":`, int64(d.DstBusySiblings))
}

func (e *events) appendVerdict(b []byte, c *scheduler.Candidate) []byte {
	e.set.Floats(e.values, &c.Decision)
	b = append(b, `,"features":`...)
	sep := byte('{')
	for i, v := range e.values {
		b = append(append(append(b, sep), e.names[i]...), ':')
		b = appendFloat(b, float64(v))
		sep = ','
	}
	if c.Verdict.OutOfDistribution { // the network was not asked; the key is older than the name
		b = append(b, `},"outside":true`...)
	} else {
		b = append(b, `},"logit":`...)
		b = appendFloat(b, features.ToFloat(c.Verdict.Logit))
	}
	if c.Verdict.Migrate {
		return append(b, `,"verdict":"migrate"`...)
	}
	return append(b, `,"verdict":"stay"`...)
}

// outcome says whether a candidate was moved, and if not, why.
func outcome(t *scheduler.Tick, c *scheduler.Candidate) (applied bool, why string) {
	switch {
	case c.Hold < 0:
		return false, c.Reason.String()
	case t.Errors == nil:
		return false, "observed only"
	case t.Errors[c.Hold] != nil:
		return false, t.Errors[c.Hold].Error()
	}
	return true, c.Reason.String()
}

// close has what waits written, until then at most, and closes the file.
func (e *events) close(until time.Time) error {
	if err := e.out.close(until); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	if c, ok := e.out.to.(io.Closer); ok {
		e.out.failedBy(c.Close())
	}
	if n := e.out.failed.Load(); n > 0 {
		return fmt.Errorf("write events: %d writes failed", n)
	}
	return nil
}

func appendInt(b []byte, key string, v int64) []byte {
	return strconv.AppendInt(append(b, key...), v, 10)
}

// appendFloat writes a number as JSON has them: no NaN and no infinity.
func appendFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 32)
}

// appendJSON quotes a string. A command name is any 15 bytes its owner likes
// (prctl(2), PR_SET_NAME): what is not UTF-8 becomes U+FFFD.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
