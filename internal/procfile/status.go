// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"bytes"
	"fmt"

	"mllb/topology"
)

// StatusField returns the value of one line of /proc/PID/status, such as Tgid.
func StatusField(text []byte, name string) ([]byte, error) {
	// Line 1 is the command's name, in which the kernel escapes newlines
	// (proc_task_name, fs/proc/array.c), so no other line can be forged.
	for rest := text; ; {
		i := bytes.Index(rest, []byte(name))
		if i < 0 {
			return nil, fmt.Errorf("no %s line", name)
		}
		before, after := rest[:i], rest[i+len(name):]
		if !bytes.HasSuffix(before, []byte{'\n'}) || !bytes.HasPrefix(after, []byte{':'}) {
			rest = after
			continue
		}
		line, ended := cutLine(after[1:])
		if !ended {
			return nil, fmt.Errorf("%s: the line is cut off", name)
		}
		return bytes.TrimSpace(line), nil
	}
}

// StatusUint returns the number that a line of /proc/PID/status holds.
func StatusUint(text []byte, name string, bits int) (uint64, error) {
	field, err := StatusField(text, name)
	if err != nil {
		return 0, err
	}
	n, err := Uint(field, bits)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// StatusAllowed returns the mask that /proc/PID/status calls Cpus_allowed, in
// the memory of dst if it is large enough.
func StatusAllowed(text []byte, dst topology.CPUSet) (topology.CPUSet, error) {
	const name = "Cpus_allowed"
	field, err := StatusField(text, name)
	if err != nil {
		return dst, err
	}
	mask, err := topology.ParseCPUMask(field, dst)
	if err != nil {
		return dst, fmt.Errorf("%s: %w", name, err)
	}
	return mask, nil
}
