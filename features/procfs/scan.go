// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
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

// cutKey splits a "key   :   value" line; both are trimmed.
func cutKey(line []byte) (key, value []byte, ok bool) {
	key, value, ok = bytes.Cut(line, []byte{':'})
	return bytes.TrimSpace(key), bytes.TrimSpace(value), ok
}

// parseUint and parseInt do not allocate: the compiler keeps the conversion of
// a short slice on the stack.
func parseUint(b []byte, bits int) (uint64, error) {
	return strconv.ParseUint(string(b), 10, bits)
}

func parseInt(b []byte, bits int) (int64, error) {
	return strconv.ParseInt(string(b), 10, bits)
}

// parseMillis reads nanoseconds that the kernel wrote as milliseconds with six
// decimals (SPLIT_NS, kernel/sched/debug.c).
func parseMillis(b []byte) (uint64, error) {
	whole, part, ok := bytes.Cut(b, []byte{'.'})
	if !ok || len(part) != 6 {
		return 0, fmt.Errorf("%q: %w", b, errMillis)
	}
	ms, err := parseUint(whole, 64)
	if err != nil {
		return 0, err
	}
	ns, err := parseUint(part, 64)
	if err != nil {
		return 0, err
	}
	if ms >= (1<<63)/1_000_000 {
		return 0, fmt.Errorf("%q: %w", b, strconv.ErrRange)
	}
	return ms*1e6 + ns, nil
}
