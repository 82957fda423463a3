// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"mllb/topology"
)

// parseAllowed appends to dst[:0] the mask of the Cpus_allowed line of
// /proc/PID/task/TID/status. procfs reads Cpus_allowed_list of it, but makes a
// slice of every CPU and of 40 other lines, and drops what it cannot parse.
func parseAllowed(b []byte, dst topology.CPUSet) (topology.CPUSet, error) {
	const key = "\nCpus_allowed:\t"
	// Line 1 is the name, in which the kernel escapes newlines
	// (proc_task_name), so the key cannot be forged.
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return dst, errors.New("no Cpus_allowed line")
	}
	line, rest := cutLine(b[i+len(key):])
	mask, err := parseHexMask(line, dst)
	if err != nil {
		return dst, fmt.Errorf("line %d: Cpus_allowed: %w", lineOf(b, rest), err)
	}
	return mask, nil
}

// parseHexMask reads 32-bit groups in hexadecimal, the highest first, as %*pb
// writes them: "f,ffffffff".
func parseHexMask(b []byte, dst topology.CPUSet) (topology.CPUSet, error) {
	groups := bytes.Count(b, []byte{','}) + 1
	if groups > topology.MaxCPUs/32 {
		return dst, fmt.Errorf("%d groups are more than %d cpus", groups, topology.MaxCPUs)
	}
	words := (groups + 1) / 2
	dst = slices.Grow(dst[:0], words)[:words]
	clear(dst)
	for g := groups - 1; g >= 0; g-- {
		var group []byte
		group, b, _ = bytes.Cut(b, []byte{','})
		v, err := strconv.ParseUint(string(group), 16, 32)
		if err != nil {
			return dst, err
		}
		dst[g/2] |= v << (32 * (g % 2))
	}
	return dst, nil
}

// parseCgroup returns the path of the hierarchy in /proc/PID/task/TID/cgroup,
// whose lines are "ID:CONTROLLERS:PATH"; nil if it has none. procfs reads the
// file too, into a dozen allocations for each thread.
func parseCgroup(b []byte, hierarchy int) ([]byte, error) {
	for rest := b; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		id, tail, ok := bytes.Cut(line, []byte{':'})
		_, path, ok2 := bytes.Cut(tail, []byte{':'})
		n, err := parseUint(id, 31)
		if !ok || !ok2 || err != nil {
			return nil, fmt.Errorf("line %d: %.60q is not \"ID:CONTROLLERS:PATH\"", lineOf(b, rest), line)
		}
		if int(n) == hierarchy {
			return path, nil
		}
	}
	return nil, nil
}
