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
	"mllb/scx"
	"mllb/topology"
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

// event is one line.
type event struct {
	at      time.Time
	task    features.ID
	tgid    int32
	comm    string
	from    int32
	to      int32
	level   topology.Level
	facts   *features.Decision
	asked   bool
	verdict scheduler.Verdict
	active  bool
	gain    int64
	applied bool
	why     string
}

func (e *events) write(t *scheduler.Tick, c *scheduler.Candidate) {
	th := &t.Snapshot.Threads[c.Thread]
	v := event{
		at: t.Start, task: th.ID, tgid: th.TGID, comm: th.Name(), from: c.From, to: c.To, level: c.Level,
		facts: &c.Decision, asked: c.Asked, verdict: c.Verdict, active: c.Active, gain: c.Gain,
	}
	v.applied, v.why = outcome(t, c)
	e.add(&v)
}

// sample writes a decision of the sched_ext scheduler.
func (e *events) sample(now time.Time, d *scx.Sample) {
	v := event{
		at: now, task: d.ID, tgid: d.TGID, comm: d.Comm, from: d.Decision.SrcCPU, to: d.Decision.DstCPU, level: d.Level,
		facts: &d.Decision, asked: true, verdict: d.Verdict, applied: d.Moved, why: outcomeOfSample(d),
	}
	e.add(&v)
}

func outcomeOfSample(d *scx.Sample) string {
	switch {
	case d.Moved && d.Overridden:
		return "overridden"
	case d.Moved:
		return scheduler.Moved.String()
	case d.Verdict.Migrate:
		return "lost"
	}
	return scheduler.Stay.String()
}

func (e *events) add(v *event) {
	b := append(e.line[:0], `{"time":"`...)
	b = v.at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = appendInt(b, `","task":{"tid":`, int64(v.task.TID))
	b = appendInt(b, `,"tgid":`, int64(v.tgid))
	b = append(b, `,"start":`...)
	b = strconv.AppendUint(b, v.task.Start, 10)
	b = append(b, `,"comm":`...)
	b = appendJSON(b, v.comm)
	b = appendInt(b, `},"from":`, int64(v.from))
	b = appendInt(b, `,"to":`, int64(v.to))
	b = append(append(append(b, `,"level":"`...), v.level.String()...), '"')
	b = appendWorth(b, v.facts)
	if v.asked {
		b = e.appendVerdict(b, v)
	}
	if v.active {
		b = append(b, `,"active":true`...)
	}
	b = appendFloat(append(b, `,"gain":`...), float64(v.gain)/features.FullSpeed)
	b = append(appendJSON(append(b, `,"policy":`...), e.policy), `,"applied":`...)
	b = append(strconv.AppendBool(b, v.applied), `,"why":`...)
	b = append(appendJSON(b, v.why), "}\n"...)
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

func (e *events) appendVerdict(b []byte, v *event) []byte {
	e.set.Floats(e.values, v.facts)
	b = append(b, `,"features":`...)
	sep := byte('{')
	for i, value := range e.values {
		b = append(append(append(b, sep), e.names[i]...), ':')
		b = appendFloat(b, float64(value))
		sep = ','
	}
	if v.verdict.OutOfDistribution { // the network was not asked; the key is older than the name
		b = append(b, `},"outside":true`...)
	} else {
		b = append(b, `},"logit":`...)
		b = appendFloat(b, features.ToFloat(v.verdict.Logit))
	}
	if v.verdict.Migrate {
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
