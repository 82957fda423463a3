// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// Stat is what mllb takes from the stat file of a process or a thread.
type Stat struct {
	ID           int32
	Comm         []byte // aliases the text; a kernel worker's is longer than task.comm
	State        byte   // R S D Z ...
	PPID         int32
	Session      int32 // -1 of a thread that is all but gone (do_task_stat, fs/proc/array.c, 6.12)
	Flags        uint32
	UTime, STime uint64 // clock ticks
	Nice         int8
	Threads      int32  // of its process
	Start        uint64 // clock ticks after boot
	CPU          int32
	Policy       uint8
}

// statFields are the fields after the name, ascending by their number in
// proc_pid_stat(5).
var statFields = [...]struct {
	number int
	name   string
	set    func(*Stat, []byte) error
}{
	{3, "state", (*Stat).setState},
	{4, "ppid", func(s *Stat, b []byte) error { return SetInt(&s.PPID, b, 32) }},
	{6, "session", func(s *Stat, b []byte) error { return SetInt(&s.Session, b, 32) }},
	{9, "flags", func(s *Stat, b []byte) error { return SetUint(&s.Flags, b, 32) }},
	{14, "utime", func(s *Stat, b []byte) error { return SetUint(&s.UTime, b, 64) }},
	{15, "stime", func(s *Stat, b []byte) error { return SetUint(&s.STime, b, 64) }},
	{19, "nice", func(s *Stat, b []byte) error { return SetInt(&s.Nice, b, 8) }},
	{20, "num_threads", func(s *Stat, b []byte) error { return SetInt(&s.Threads, b, 32) }},
	{22, "starttime", func(s *Stat, b []byte) error { return SetUint(&s.Start, b, 64) }},
	{39, "processor", func(s *Stat, b []byte) error { return SetInt(&s.CPU, b, 32) }},
	{41, "policy", func(s *Stat, b []byte) error { return SetUint(&s.Policy, b, 8) }},
}

// Parse fills s from /proc/PID/stat or /proc/PID/task/TID/stat.
func (s *Stat) Parse(b []byte) error {
	// The name is raw and may hold spaces, parentheses and newlines; what
	// follows it is numbers, so the last parenthesis ends it.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return errors.New("field 2 (comm): no parentheses")
	}
	s.Comm = b[open+1 : end]
	if err := SetInt(&s.ID, bytes.TrimSpace(b[:open]), 32); err != nil {
		return fmt.Errorf("field 1 (pid): %w", err)
	}
	number, rest := 2, bytes.TrimSpace(b[end+1:])
	for i := range statFields {
		f := &statFields[i]
		var field []byte
		for ; number < f.number; number++ {
			field, rest, _ = bytes.Cut(rest, []byte{' '})
		}
		if err := f.set(s, field); err != nil {
			return fmt.Errorf("field %d (%s): %w", f.number, f.name, err)
		}
	}
	return nil
}

func (s *Stat) setState(b []byte) error {
	if len(b) != 1 {
		return fmt.Errorf("%q is not a state", b)
	}
	s.State = b[0]
	return nil
}

// ReadStat reads the stat file in the directory of a process or a thread.
func ReadStat(dir string) (s Stat, err error) {
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return s, err
	}
	if err := s.Parse(b); err != nil {
		return s, fmt.Errorf("%s/stat: %w", dir, err)
	}
	return s, nil
}
