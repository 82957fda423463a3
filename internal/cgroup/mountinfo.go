// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strings"
)

// mountInfo is what is taken of a line of /proc/PID/mountinfo.
type mountInfo struct {
	root, point, fsType string
	options             string // of the file system, not of the mount
}

// readMountInfo reads the mounts of a process, in mount order.
//
// prometheus/procfs refuses the file for a single line that it cannot take apart,
// as 9p of WSL2 writes them, and for one of over 64 KiB.
func readMountInfo(path string) ([]mountInfo, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []mountInfo
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		m, ok := parseMountInfo(strings.TrimSuffix(line, "\n"))
		switch {
		case ok:
			all = append(all, m)
		case strings.Contains(line, " - cgroup"):
			return nil, fmt.Errorf("%s: line %d: %.80q is not a mount (proc_pid_mountinfo(5))", path, n, line)
		}
		// What else cannot be read is no cgroup's.
	}
	return all, nil
}

// parseMountInfo takes apart
//
//	36 35 98:0 /root /point rw,noatime shared:1 master:2 - ext4 /dev/root rw,errors=continue
//
// The first "-" after the sixth field ends the optional ones. What follows may
// hold more of them, and blanks: not every file system escapes its options.
func parseMountInfo(line string) (m mountInfo, ok bool) {
	fields := strings.Split(line, " ")
	const optional = 6
	for i := optional; i+3 < len(fields); i++ {
		if fields[i] == "-" {
			return mountInfo{
				root: unescape(fields[3]), point: unescape(fields[4]),
				fsType: fields[i+1], options: fields[i+3],
			}, true
		}
	}
	return m, false
}

// unescape undoes the octal escapes of space, tab, newline, backslash and '#'
// in a mountinfo field (fs/proc_namespace.c, mangle), which procfs leaves in.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			b = append(b, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func octal(c byte) bool { return c >= '0' && c <= '7' }
