// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strconv"

	"mllb/internal/procfile"

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
func processes() []int {
	pids, _ := procfile.IDs("/proc")
	return pids
}

// parentOf reads the parent and whether the process is no zombie.
func parentOf(pid int) (parent int, alive bool) {
	s, err := procfile.ReadStat("/proc/" + strconv.Itoa(pid))
	return int(s.PPID), err == nil && s.State != 'Z' && s.State != 'X'
}

// signalAll signals each; one that has ended meanwhile is no error.
func signalAll(pids []int, sig unix.Signal) {
	for _, pid := range pids {
		_ = unix.Kill(pid, sig)
	}
}
