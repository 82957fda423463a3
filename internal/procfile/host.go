// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CPUTime is what all CPUs together did since boot, in clock ticks.
type CPUTime struct {
	Total, Idle, IOWait, Steal uint64
}

// ParseCPUTime reads the first line of /proc/stat (proc_stat(5)), which is the
// sum over the CPUs. Its last two columns, guest times, are in those of users.
func ParseCPUTime(text []byte) (t CPUTime, err error) {
	line, ended := cutLine(text)
	fields := bytes.Fields(line)
	if !ended || len(fields) < 9 || string(fields[0]) != "cpu" {
		return t, fmt.Errorf("line 1: %.80q is not the sum over the CPUs", line)
	}
	columns := [8]uint64{}
	for i := range columns {
		if columns[i], err = Uint(fields[i+1], 64); err != nil {
			return CPUTime{}, fmt.Errorf("line 1: column %d of cpu: %w", i+1, err)
		}
		t.Total += columns[i]
	}
	t.Idle, t.IOWait, t.Steal = columns[3], columns[4], columns[7]
	return t, nil
}

// ParseLoad reads the three load averages of "0.20 0.18 0.12 1/80 11206"
// (proc_loadavg(5)).
func ParseLoad(text []byte) (load [3]float64, err error) {
	fields := strings.Fields(string(text))
	if len(fields) < len(load) {
		return load, fmt.Errorf("%.80q: want three load averages", text)
	}
	for i := range load {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || !(v >= 0 && v < 1e9) {
			return [3]float64{}, fmt.Errorf("load average %q is not a number", fields[i])
		}
		load[i] = v
	}
	return load, nil
}

// SchedExt returns the state that sched_ext is in, "" on a kernel without it,
// and the name of the scheduler that is loaded, "" if none is. Files:
// Documentation/scheduler/sched-ext.rst, 6.12.
func SchedExt(root string) (state, ops string, err error) {
	dir := filepath.Join(root, "sys/kernel/sched_ext")
	b, err := os.ReadFile(filepath.Join(dir, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the state of sched_ext: %w", err)
	}
	state = strings.TrimSpace(string(b))
	if state == "" || state == "disabled" {
		return state, "", nil
	}
	// The name is missing while the scheduler is on its way in or out.
	if b, err := os.ReadFile(filepath.Join(dir, "root/ops")); err == nil {
		ops = strings.TrimSpace(string(b))
	}
	if ops == "" {
		ops = "unknown"
	}
	return state, ops, nil
}
