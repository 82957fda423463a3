// SPDX-License-Identifier: Apache-2.0

// Package procfile parses the files of /proc and /sys that several parts of mllb
// read. A parser takes the text of a file and its errors name the field; whoever
// read the file adds the path. What a tick calls does not allocate.
//
// prometheus/procfs reads most of this too, and tests hold this package against
// it. But its Proc.Stat scans 44 fields by reflection (fmt.Fscan), which makes
// 30 allocations and takes as long as the read itself, and panics on a line that
// ends at the name; its Proc.NewStatus makes a slice of every CPU and of 40
// lines, and drops what it cannot parse.
package procfile

import (
	"bytes"
	"os"
	"strconv"
)

// Uint and Int parse a decimal number. They do not allocate: the compiler keeps
// the conversion of a short slice on the stack.
func Uint(b []byte, bits int) (uint64, error) { return strconv.ParseUint(string(b), 10, bits) }

// Int is Uint with a sign.
func Int(b []byte, bits int) (int64, error) { return strconv.ParseInt(string(b), 10, bits) }

// SetUint parses a number into a field of a struct.
func SetUint[T uint8 | uint32 | uint64](dst *T, b []byte, bits int) error {
	v, err := Uint(b, bits)
	*dst = T(v)
	return err
}

// SetInt is SetUint with a sign.
func SetInt[T int8 | int32](dst *T, b []byte, bits int) error {
	v, err := Int(b, bits)
	*dst = T(v)
	return err
}

// IDs returns the entries of a directory that are numbers, in its order: the
// processes of /proc, or the threads of /proc/PID/task.
func IDs(dir string) ([]int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, name := range names {
		if id, err := strconv.ParseUint(name, 10, 31); err == nil {
			ids = append(ids, int(id))
		}
	}
	return ids, nil
}

// cutLine returns the first line without its newline, and whether it has one.
func cutLine(b []byte) (line []byte, ended bool) {
	line, _, ended = bytes.Cut(b, []byte{'\n'})
	return line, ended
}
