// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"mllb/features"
	"mllb/scheduler"
)

// eventsFlush is how long a line may wait in the buffer.
const eventsFlush = time.Second

// events appends one JSON line for each decision that was put to the policy,
// and for each active balance, to a file.
type events struct {
	file    io.WriteCloser
	out     *bufio.Writer
	log     *slog.Logger
	policy  string
	set     *features.Set
	names   []string // of the features, quoted for JSON
	flushed time.Time
	failed  atomic.Uint64 // writes, each of which lost the lines of the buffer

	line   []byte
	values []float32
	hold   []int32 // by candidate: index into Plan.Holds, or -1
}

// openEvents opens path for appending. Features are named and scaled as set
// has them.
func openEvents(path, policy string, set *features.Set, log *slog.Logger) (*events, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open events file: %w", err)
	}
	e := &events{file: f, out: bufio.NewWriterSize(f, 1<<16), log: log, policy: policy, set: set}
	e.values = make([]float32, len(set.Features))
	for _, name := range set.Names() {
		e.names = append(e.names, string(appendJSON(nil, name)))
	}
	return e, nil
}

// Tick writes the decisions of one tick.
func (e *events) Tick(t *scheduler.Tick) {
	if t.Plan != nil {
		e.index(t.Plan)
		for i := range t.Plan.Candidates {
			if c := &t.Plan.Candidates[i]; c.Asked || c.Active {
				e.write(t, c, e.hold[i])
			}
		}
	}
	if t.Start.Sub(e.flushed) >= eventsFlush {
		e.flushed = t.Start
		e.check(e.out.Flush())
	}
}

// index finds the hold that each candidate led to.
func (e *events) index(p *scheduler.Plan) {
	e.hold = e.hold[:0]
	for range p.Candidates {
		e.hold = append(e.hold, -1)
	}
	for i, from := range p.From {
		if from >= 0 {
			e.hold[from] = int32(i)
		}
	}
}

func (e *events) write(t *scheduler.Tick, c *scheduler.Candidate, hold int32) {
	applied, why := outcome(t, c, hold)
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
	if c.Asked {
		b = e.appendVerdict(b, c)
	}
	if c.Active {
		b = append(b, `,"active":true`...)
	}
	b = append(appendJSON(append(b, `,"policy":`...), e.policy), `,"applied":`...)
	b = append(strconv.AppendBool(b, applied), `,"why":`...)
	b = append(appendJSON(b, why), "}\n"...)
	e.line = b
	_, err := e.out.Write(b)
	e.check(err)
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
	if c.Verdict.Outside { // the network was not asked
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
func outcome(t *scheduler.Tick, c *scheduler.Candidate, hold int32) (applied bool, why string) {
	switch {
	case hold < 0:
		return false, c.Reason.String()
	case t.Errors == nil:
		return false, "observed only"
	case t.Errors[hold] != nil:
		return false, t.Errors[hold].Error()
	}
	return true, c.Reason.String()
}

// check counts a failed write and logs the first. The buffer is emptied, so
// that a disk that has room again is written to again.
func (e *events) check(err error) {
	if err == nil {
		return
	}
	if e.failed.Add(1) == 1 {
		e.log.Error("events are being lost", "err", err)
	}
	e.out.Reset(e.file)
}

// Close flushes and closes the file.
func (e *events) Close() error {
	if err := e.out.Flush(); err != nil {
		e.file.Close()
		return fmt.Errorf("write events: %w", err)
	}
	if err := e.file.Close(); err != nil {
		return fmt.Errorf("close events: %w", err)
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
