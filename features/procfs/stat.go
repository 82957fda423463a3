// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"
)

// stat is what a snapshot takes from /proc/PID/task/TID/stat.
//
// procfs has a reader of it, Proc.Stat, which a test here holds against this
// one. It scans 44 fields by reflection (fmt.Fscan), which makes 30 allocations
// and takes as long as the read itself, and panics on a line that ends at the name.
type stat struct {
	comm    []byte // aliases the input; a kernel worker's is longer than task.comm
	state   byte
	ppid    int32
	session int32
	flags   uint32
	nice    int8
	start   uint64 // clock ticks after boot
	cpu     int32
	policy  uint8
}

// statFields are the fields taken, ascending by their number in proc_pid_stat(5).
var statFields = [...]struct {
	number int
	name   string
	set    func(*stat, []byte) error
}{
	{3, "state", (*stat).setState},
	{4, "ppid", func(s *stat, b []byte) error { return setInt(&s.ppid, b, 32) }},
	{6, "session", func(s *stat, b []byte) error { return setInt(&s.session, b, 32) }},
	{9, "flags", func(s *stat, b []byte) error { return setUint(&s.flags, b, 32) }},
	{19, "nice", func(s *stat, b []byte) error { return setInt(&s.nice, b, 8) }},
	{22, "starttime", func(s *stat, b []byte) error { return setUint(&s.start, b, 64) }},
	{39, "processor", func(s *stat, b []byte) error { return setInt(&s.cpu, b, 32) }},
	{41, "policy", func(s *stat, b []byte) error { return setUint(&s.policy, b, 8) }},
}

func parseStat(b []byte) (stat, error) {
	var s stat
	// The name is raw and may hold spaces, parentheses and newlines; what
	// follows it is numbers, so the last parenthesis ends it.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, errors.New("line 1: no (name)")
	}
	s.comm = b[open+1 : end]
	number, rest := 2, bytes.TrimSpace(b[end+1:])
	for i := range statFields {
		f := &statFields[i]
		var field []byte
		for ; number < f.number; number++ {
			field, rest, _ = bytes.Cut(rest, []byte{' '})
		}
		if err := f.set(&s, field); err != nil {
			return s, fmt.Errorf("line 1: field %d (%s): %w", f.number, f.name, err)
		}
	}
	return s, nil
}

func (s *stat) setState(b []byte) error {
	if len(b) != 1 {
		return fmt.Errorf("%q is not a state", b)
	}
	s.state = b[0]
	return nil
}

func setInt[T int8 | int32 | int64](dst *T, b []byte, bits int) error {
	v, err := parseInt(b, bits)
	*dst = T(v)
	return err
}

func setUint[T uint8 | uint32 | uint64](dst *T, b []byte, bits int) error {
	v, err := parseUint(b, bits)
	*dst = T(v)
	return err
}

func setMillis(dst *uint64, b []byte) error {
	v, err := parseMillis(b)
	*dst = v
	return err
}
