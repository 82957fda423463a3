// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"mllb/internal/cgroup"
	"mllb/internal/procfile"
)

var errMillis = errors.New("want milliseconds with six decimals")

// cutLine returns the first line of b without its newline, and the rest.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return line, rest
}

// lineOf returns the number, from 1, of the line of text that ends where rest, a
// tail of it, starts. Errors are rare, so lines are only counted for one.
func lineOf(text, rest []byte) int {
	return bytes.Count(text[:max(0, len(text)-len(rest)-1)], []byte{'\n'}) + 1
}

// parseCgroup returns the path of the hierarchy in /proc/PID/task/TID/cgroup; nil
// if it has none.
func parseCgroup(b []byte, hierarchy int) ([]byte, error) {
	for rest := b; len(rest) > 0; {
		m, tail, err := cgroup.CutMembership(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lineOf(b, tail), err)
		}
		if m.Hierarchy == hierarchy {
			return m.Path, nil
		}
		rest = tail
	}
	return nil, nil
}

// cutKey splits a "key   :   value" line; both are trimmed.
func cutKey(line []byte) (key, value []byte, ok bool) {
	key, value, ok = bytes.Cut(line, []byte{':'})
	return bytes.TrimSpace(key), bytes.TrimSpace(value), ok
}

func setMillis(dst *uint64, b []byte) error {
	v, err := parseMillis(b)
	*dst = v
	return err
}

// parseMillis reads nanoseconds that the kernel wrote as milliseconds with six
// decimals (SPLIT_NS, kernel/sched/debug.c).
func parseMillis(b []byte) (uint64, error) {
	whole, part, ok := bytes.Cut(b, []byte{'.'})
	if !ok || len(part) != 6 {
		return 0, fmt.Errorf("%q: %w", b, errMillis)
	}
	ms, err := procfile.Uint(whole, 64)
	if err != nil {
		return 0, err
	}
	ns, err := procfile.Uint(part, 64)
	if err != nil {
		return 0, err
	}
	if ms >= (1<<63)/1_000_000 {
		return 0, fmt.Errorf("%q: %w", b, strconv.ErrRange)
	}
	return ms*1e6 + ns, nil
}
