// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"mllb/features"
)

// Traced is one event of the tracepoint sched_mllb_decision: the raw facts, and
// what the kernel made of them.
type Traced struct {
	features.Decision
	PID   int32
	Rule  bool   // the locality rule would migrate
	Net   int8   // the network: 1 migrate, 0 stay, Unasked
	Logit int32  // in Q21.11
	Fixed bool   // judged in integers
	Model uint32 // checksum of the model's blob
}

// Unasked is Traced.Net where the features were out of the ranges of training.
const Unasked = -1

// TraceCounts is what a trace holds beside decisions.
type TraceCounts struct {
	Decisions int
	Other     int    // lines of other events
	Lost      uint64 // events that the trace says were lost
}

// maxNode bounds what a damaged line can have allocated.
const maxNode = 1023

// spread is what is spread over a Decision only when a line has been read.
type spread struct {
	srcFaults, dstFaults, totalFaults uint64
	sameSMT                           bool
}

// number parses one value of a line.
type number struct {
	low, high int64 // unless wide
	wide      bool  // any u64
	set       func(t *Traced, f *spread, v uint64)
}

func u32(p func(*Traced) *uint32) number {
	return number{0, 1<<32 - 1, false, func(t *Traced, _ *spread, v uint64) { *p(t) = uint32(v) }}
}

func s32(low, high int64, p func(*Traced) *int32) number {
	return number{low, high, false, func(t *Traced, _ *spread, v uint64) { *p(t) = int32(v) }}
}

func yes(p func(*Traced, *spread) *bool) number {
	return number{0, 1, false, func(t *Traced, f *spread, v uint64) { *p(t, f) = v == 1 }}
}

func wide(p func(*Traced, *spread) *uint64) number {
	return number{wide: true, set: func(t *Traced, f *spread, v uint64) { *p(t, f) = v }}
}

func s64(p func(*Traced) *int64) number {
	return number{-1 << 63, 1<<63 - 1, false, func(t *Traced, _ *spread, v uint64) { *p(t) = int64(v) }}
}

// idleByNumber are by enum mllb_idle.
var idleByNumber = [3]features.IdleType{features.Idle, features.NotIdle, features.NewlyIdle}

// fields are those of TP_printk in src/sched_mllb_trace.h, but for model.
var fields = map[string]number{
	"pid":           s32(0, 1<<31-1, func(t *Traced) *int32 { return &t.PID }),
	"src_cpu":       s32(0, 1<<31-1, func(t *Traced) *int32 { return &t.SrcCPU }),
	"dst_cpu":       s32(0, 1<<31-1, func(t *Traced) *int32 { return &t.DstCPU }),
	"src_nid":       s32(-1, maxNode, func(t *Traced) *int32 { return &t.SrcNode }),
	"dst_nid":       s32(-1, maxNode, func(t *Traced) *int32 { return &t.DstNode }),
	"preferred_nid": s32(-1, maxNode, func(t *Traced) *int32 { return &t.PreferredNode }),
	"idle":          {0, 2, false, func(t *Traced, _ *spread, v uint64) { t.Idle = idleByNumber[v] }},
	"same_smt":      yes(func(_ *Traced, f *spread) *bool { return &f.sameSMT }),

	"src_nr_running":   u32(func(t *Traced) *uint32 { return &t.SrcNrRunning }),
	"src_nr_preferred": u32(func(t *Traced) *uint32 { return &t.SrcNrPreferredRunning }),
	"dst_nr_running":   u32(func(t *Traced) *uint32 { return &t.DstNrRunning }),
	"src_len":          u32(func(t *Traced) *uint32 { return &t.SrcLen }),
	"dst_len":          u32(func(t *Traced) *uint32 { return &t.DstLen }),
	"src_load":         wide(func(t *Traced, _ *spread) *uint64 { return &t.SrcLoad }),
	"dst_load":         wide(func(t *Traced, _ *spread) *uint64 { return &t.DstLoad }),

	"nr_balance_failed": u32(func(t *Traced) *uint32 { return &t.NrBalanceFailed }),
	"cache_nice_tries":  u32(func(t *Traced) *uint32 { return &t.CacheNiceTries }),
	"next_buddy":        yes(func(t *Traced, _ *spread) *bool { return &t.NextBuddy }),
	"delta":             s64(func(t *Traced) *int64 { return &t.Delta }),
	"migration_cost":    s64(func(t *Traced) *int64 { return &t.MigrationCost }),

	"has_faults":   yes(func(t *Traced, _ *spread) *bool { return &t.HasFaults }),
	"src_faults":   wide(func(_ *Traced, f *spread) *uint64 { return &f.srcFaults }),
	"dst_faults":   wide(func(_ *Traced, f *spread) *uint64 { return &f.dstFaults }),
	"total_faults": wide(func(_ *Traced, f *spread) *uint64 { return &f.totalFaults }),

	"rule":  yes(func(t *Traced, _ *spread) *bool { return &t.Rule }),
	"net":   {Unasked, 1, false, func(t *Traced, _ *spread, v uint64) { t.Net = int8(v) }},
	"logit": s32(-1<<31, 1<<31-1, func(t *Traced) *int32 { return &t.Logit }),
	"fixed": yes(func(t *Traced, _ *spread) *bool { return &t.Fixed }),
}

var (
	eventName = []byte(" sched_mllb_decision: ")
	lost      = regexp.MustCompile(`^CPU:\d+ \[LOST (\d+) EVENTS\]`)
	written   = regexp.MustCompile(`^# entries-in-buffer/entries-written: (\d+)/(\d+) `)
)

// ReadTrace calls each with every decision of an ftrace file (trace or
// trace_pipe) in turn, and stops at its error.
func ReadTrace(r io.Reader, each func(*Traced) error) (n TraceCounts, err error) {
	s := bufio.NewScanner(r)
	for line := 1; s.Scan(); line++ {
		text := s.Bytes()
		_, event, ok := bytes.Cut(text, eventName)
		if !ok {
			err = n.aside(text)
		} else if t, perr := parseEvent(event); perr != nil {
			err = perr
		} else {
			n.Decisions++
			err = each(t)
		}
		if err != nil {
			return n, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return n, s.Err()
}

// aside counts a line that is no decision.
func (n *TraceCounts) aside(text []byte) error {
	var less uint64
	m := lost.FindSubmatch(text)
	if m == nil {
		if m = written.FindSubmatch(text); m == nil {
			if len(text) > 0 && text[0] != '#' {
				n.Other++
			}
			return nil
		}
		var err error
		if less, err = strconv.ParseUint(string(m[1]), 10, 32); err != nil {
			return err
		}
	}
	count, err := strconv.ParseUint(string(m[len(m)-1]), 10, 32)
	if err != nil {
		return err
	}
	if count < less {
		return fmt.Errorf("%d events of %d", less, count)
	}
	n.Lost += count - less
	return nil
}

func parseEvent(event []byte) (*Traced, error) {
	var t Traced
	var f spread
	seen := map[string]bool{}
	for _, word := range bytes.Fields(event) {
		name, value, _ := bytes.Cut(word, []byte("="))
		if seen[string(name)] {
			return nil, fmt.Errorf("%s: twice", name)
		}
		seen[string(name)] = true
		if string(name) == "model" {
			crc, err := strconv.ParseUint(string(value), 16, 32)
			if err != nil {
				return nil, fmt.Errorf("model: %w", err)
			}
			t.Model = uint32(crc)
			continue
		}
		field, ok := fields[string(name)]
		if !ok {
			return nil, fmt.Errorf("%.40q: no such field", name)
		}
		v, err := field.parse(string(value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		field.set(&t, &f, v)
	}
	for name := range fields {
		if !seen[name] {
			return nil, fmt.Errorf("%s: missing", name)
		}
	}
	if !seen["model"] {
		return nil, fmt.Errorf("model: missing")
	}
	f.into(&t)
	return &t, nil
}

func (n number) parse(value string) (uint64, error) {
	if n.wide {
		return strconv.ParseUint(value, 10, 64)
	}
	v, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, err
	}
	if v < n.low || v > n.high {
		return 0, fmt.Errorf("%d is not in %d..%d", v, n.low, n.high)
	}
	return uint64(v), nil
}

// into puts the facts where a Decision has them. The tracepoint tells the faults
// of the two nodes alone, and not whether they are the group's or the task's.
func (f *spread) into(t *Traced) {
	if f.sameSMT {
		t.Domain |= features.ShareCPUCapacity
	}
	t.TaskTotalFaults = f.totalFaults
	t.TaskFaults = make([]uint64, max(t.SrcNode, t.DstNode)+1)
	for node, faults := range map[int32]uint64{t.SrcNode: f.srcFaults, t.DstNode: f.dstFaults} {
		if node >= 0 {
			t.TaskFaults[node] = faults
		}
	}
}
