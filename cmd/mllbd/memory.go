// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"mllb/features/bpf"
)

// gcPercent has at most half as much garbage lie about as is in use, where GOGC
// says nothing. Go's default is as much again, and at least 4 MB: five times what
// mllbd keeps on a small host. A tick allocates next to nothing, so collections
// are rare all the same.
const gcPercent = 50

// maxProcs bounds how many goroutines run at a time, where GOMAXPROCS says nothing:
// the loop, the reader of forks and two outputs. With one for each CPU Go keeps
// caches and threads for all of them, and a collection wakes a thread on every CPU
// that is idle: on the very host whose balance is measured.
const maxProcs = 4

// boundRuntime has the Go runtime take no more than a daemon needs.
func boundRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(maxProcs, runtime.GOMAXPROCS(0)))
	}
}

// settle gives back what only the start needed: the kernel's BTF, which eBPF programs
// are loaded by, with the garbage of parsing it, and the pages of the program's own
// file. Those stay in the page cache and are mapped again when they are touched;
// what is mapped and never used any more would be the last that the kernel drops.
func settle() error {
	bpf.ForgetTypes()
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	unused, err := filePages(smaps, exe)
	for _, m := range unused {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("madvise %x-%x: %w", m.start, m.end, errno))
		}
	}
	return err
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// filePages returns the read-only mappings of a file, as /proc/PID/smaps has them,
// in which no page is the process's own: there a debugger or uprobes have written.
func filePages(smaps []byte, file string) (clean []mapping, err error) {
	var m mapping
	of := false // m is of the file, and read-only
	for line := range bytes.Lines(smaps) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) > 4 && !bytes.HasSuffix(fields[0], []byte(":")):
			if _, err := fmt.Sscanf(string(fields[0]), "%x-%x", &m.start, &m.end); err != nil || m.end < m.start {
				return nil, fmt.Errorf("read smaps: %q is no mapping", line)
			}
			of = bytes.HasPrefix(fields[1], []byte("r-")) && bytes.HasSuffix(line, []byte(" "+file+"\n"))
		case of && len(fields) == 3 && string(fields[0]) == "Anonymous:" && string(fields[1]) == "0":
			clean = append(clean, m)
		}
	}
	return clean, nil
}
