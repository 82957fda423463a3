// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// descendants returns the live processes below pid, by /proc.
func descendants(pid int) (below []int) {
	parents := make(map[int]int)
	for _, p := range processes() {
		if parent, alive := parentOf(p); alive {
			parents[p] = parent
		}
	}
	for p := range parents {
		for at, hops := p, 0; hops < len(parents)+1; hops++ {
			parent, known := parents[at]
			if parent == pid {
				below = append(below, p)
			}
			if parent == pid || !known {
				break
			}
			at = parent
		}
	}
	return below
}

// processes lists /proc.
func processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parentOf reads the parent and whether the process is no zombie
// (proc_pid_stat(5), fields 3 and 4).
func parentOf(pid int) (parent int, alive bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, err == nil && string(fields[0]) != "Z" && string(fields[0]) != "X"
}

// signalAll signals each; one that has ended meanwhile is no error.
func signalAll(pids []int, sig unix.Signal) {
	for _, pid := range pids {
		_ = unix.Kill(pid, sig)
	}
}
