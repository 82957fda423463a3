// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"

	"mllb/internal/procfile"
	"mllb/topology"
)

// block is one CPU's part of /sys/kernel/debug/sched/debug (print_cpu,
// kernel/sched/debug.c).
type block struct {
	cpu     int
	running uint32 // rq.nr_running
	queued  uint32 // cfs.h_nr_running (before 6.14), h_nr_queued
	loadAvg uint64 // cfs.avg.load_avg
	clock   uint64 // rq.clock_task, ns
	curr    int32  // pid of rq.curr; 0 is the idle task
	seen    int
}

// section is the part of a block that a line belongs to.
type section int

const (
	inRunqueue section = iota
	inRoot             // the root cfs_rq: "cfs_rq[0]:/", or "cfs_rq[0]:" without CONFIG_FAIR_GROUP_SCHED
	inOther
)

const (
	sawRunning = 1 << iota
	sawClock
	sawCurr
	sawQueued
	sawRoot
	sawLoad
)

// blockKeys are the ".key : value" lines taken. 6.14 and the stable kernels
// that took its fix write h_nr_queued for what others write h_nr_running.
var blockKeys = [...]struct {
	in  section
	key string
	saw int
	set func(*block, []byte) error
}{
	{inRunqueue, "nr_running", sawRunning, func(k *block, b []byte) error { return procfile.SetUint(&k.running, b, 32) }},
	{inRunqueue, "curr->pid", sawCurr, func(k *block, b []byte) error { return procfile.SetInt(&k.curr, b, 32) }},
	{inRunqueue, "clock_task", sawClock, func(k *block, b []byte) error { return setMillis(&k.clock, b) }},
	{inRoot, "h_nr_running", sawQueued, func(k *block, b []byte) error { return procfile.SetUint(&k.queued, b, 32) }},
	{inRoot, "h_nr_queued", sawQueued, func(k *block, b []byte) error { return procfile.SetUint(&k.queued, b, 32) }},
	{inRoot, "load_avg", sawLoad, func(k *block, b []byte) error { return procfile.SetUint(&k.loadAvg, b, 64) }},
}

const (
	blockStart = "cpu#"
	// firstLine follows the header of every block. At 34 bytes it is longer
	// than a task's name, so no name can forge a block.
	firstLine = "  .nr_running                    : "
	// blockEnd precedes the list of the CPU's tasks, whose names are raw.
	blockEnd = "\nrunnable tasks:\n"
)

// parseDebug appends the blocks of b to dst[:0]: the online CPUs, ascending.
func parseDebug(b []byte, dst []block) ([]block, error) {
	dst = dst[:0]
	for at := nextBlock(b, 0); at >= 0; {
		size := bytes.Index(b[at:], []byte(blockEnd))
		if size < 0 {
			return dst, fmt.Errorf("line %d: block without its tasks: cut off", bytes.Count(b[:at], []byte{'\n'})+1)
		}
		k, off, err := parseBlock(b[at : at+size])
		if err != nil {
			return dst, fmt.Errorf("line %d: %w", lineOf(b, b[at+off:]), err)
		}
		dst = append(dst, k)
		at = nextBlock(b, at+size+len(blockEnd))
	}
	if len(dst) == 0 {
		return dst, errors.New("no cpu#N block")
	}
	return dst, nil
}

// nextBlock returns where the first block at or after from starts, or -1.
func nextBlock(b []byte, from int) int {
	for from < len(b) {
		i := bytes.Index(b[from:], []byte(blockStart))
		if i < 0 {
			return -1
		}
		at := from + i
		_, next := cutLine(b[at:])
		if (at == 0 || b[at-1] == '\n') && bytes.HasPrefix(next, []byte(firstLine)) {
			return at
		}
		from = at + len(blockStart)
	}
	return -1
}

// parseBlock also returns the offset behind the line that it stopped at.
func parseBlock(b []byte) (k block, off int, err error) {
	line, rest := cutLine(b)
	number, _, _ := bytes.Cut(line[len(blockStart):], []byte{','}) // x86 adds the frequency
	cpu, err := procfile.Uint(number, 31)
	if err != nil || cpu >= topology.MaxCPUs {
		return k, len(b) - len(rest), fmt.Errorf("%.40q is not \"cpu#N\"", line)
	}
	k.cpu = int(cpu)
	for in := inRunqueue; len(rest) > 0; {
		line, rest = cutLine(rest)
		if len(line) > 0 && line[0] != ' ' {
			in = k.sectionOf(line)
			continue
		}
		if err := k.parseLine(in, line); err != nil {
			return k, len(b) - len(rest), err
		}
	}
	// A CPU idle for long has no root cfs_rq to print: it left the list of
	// those with load (cfs_rq_is_decayed). Zero is then the truth.
	need := sawRunning | sawClock | sawCurr
	if k.seen&sawRoot != 0 {
		need |= sawQueued | sawLoad
	}
	if k.seen&need != need {
		return k, len(b), fmt.Errorf("block of cpu %d lacks nr_running, clock_task, curr->pid or, below cfs_rq, h_nr_queued or load_avg", cpu)
	}
	return k, 0, nil
}

// sectionOf reads a header such as "cfs_rq[0]:/autogroup-9" or "rt_rq[0]:/".
func (k *block) sectionOf(line []byte) section {
	if group, ok := bytes.CutPrefix(line, []byte("cfs_rq[")); ok {
		_, path, _ := bytes.Cut(group, []byte("]:"))
		if len(path) == 0 || string(path) == "/" {
			k.seen |= sawRoot
			return inRoot
		}
	}
	return inOther
}

func (k *block) parseLine(in section, line []byte) error {
	if in == inOther || len(line) == 0 {
		return nil
	}
	key, value, ok := cutKey(line)
	name, dot := bytes.CutPrefix(key, []byte{'.'})
	if !ok || !dot {
		return nil // another kernel's; what is needed is asked for at the end
	}
	for i := range blockKeys {
		f := &blockKeys[i]
		if f.in != in || f.key != string(name) {
			continue
		}
		if err := f.set(k, value); err != nil {
			return fmt.Errorf("cpu %d: %s: %w", k.cpu, f.key, err)
		}
		k.seen |= f.saw
		return nil
	}
	return nil
}
