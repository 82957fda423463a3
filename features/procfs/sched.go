// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"

	"mllb/features"
	"mllb/internal/procfile"
)

// maxNodes bounds node ids: the largest MAX_NUMNODES of any architecture
// (include/linux/numa.h, NODES_SHIFT 10).
const maxNodes = 1 << 10

// sched is what a snapshot takes from /proc/PID/task/TID/sched, which procfs
// has no reader of.
type sched struct {
	comm      []byte // task.comm; aliases the input
	execStart uint64 // ns
	runtime   uint64 // ns
	noLoad    bool   // no se.avg.load_avg: before 4.2, and not of an SMP kernel
	load      uint64
	runnable  uint32

	// Absent without CONFIG_NUMA_BALANCING: preferred is then NoNode.
	preferred int32
	total     uint64 // task.total_numa_faults
	group     int32  // id of its numa_group, 0 for none
	faults    features.NodeFaults
}

// hasFaults tells whether task.numa_faults is allocated. The file prints zeros
// where it is not, so a task whose faults have all decayed and that has no
// group looks like one that never had any. A preferred node says nothing: a new
// thread has its parent's before it has faults (init_numa_balancing,
// kernel/sched/fair.c, 6.12).
func (s *sched) hasFaults() bool { return s.total != 0 || s.group != 0 }

const (
	needExecStart = 1 << iota
	needRuntime
	needAll = 1<<iota - 1

	hasLoad = needAll + 1
)

// schedKeys are the "key : value" lines taken (proc_sched_show_task, 6.1 to
// 6.18). Every other line is one that a snapshot has no use for, in whatever form:
// 3.10 of RHEL 7 writes "numa_migrations, 0".
var schedKeys = map[string]struct {
	saw int
	set func(*sched, []byte) error
}{
	"se.exec_start":       {needExecStart, func(s *sched, b []byte) error { return setMillis(&s.execStart, b) }},
	"se.sum_exec_runtime": {needRuntime, func(s *sched, b []byte) error { return setMillis(&s.runtime, b) }},
	"se.avg.load_avg":     {hasLoad, func(s *sched, b []byte) error { return procfile.SetUint(&s.load, b, 64) }},
	"se.avg.runnable_avg": {0, func(s *sched, b []byte) error { return procfile.SetUint(&s.runnable, b, 32) }},
	"numa_preferred_nid":  {0, (*sched).setPreferred},
	"total_numa_faults":   {0, func(s *sched, b []byte) error { return procfile.SetUint(&s.total, b, 64) }},
}

// parse fills s anew and reuses its fault slices.
func (s *sched) parse(b []byte) error {
	task, group := s.faults.Task[:0], s.faults.Group[:0]
	*s = sched{preferred: features.NoNode, faults: features.NodeFaults{Task: task, Group: group}}
	rest, err := s.parseHeader(b)
	if err != nil {
		return fmt.Errorf("line 1: %w", err)
	}
	seen := 0
	for len(rest) > 0 {
		var line []byte
		line, rest = cutLine(rest)
		got, err := s.parseLine(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", lineOf(b, rest), err)
		}
		seen |= got
	}
	if seen&needAll != needAll {
		return errors.New("ends before se.exec_start and se.sum_exec_runtime were seen")
	}
	s.noLoad = seen&hasLoad == 0
	s.faults.TaskTotal = s.total
	if s.group == 0 {
		s.faults.Group = s.faults.Group[:0] // zeros, printed for want of a group
	}
	return nil
}

// parseHeader takes the name from "NAME (PID, #threads: N)". The name is raw,
// up to 15 bytes of anything, so it ends at the last " (" that such a header
// could have; within it, a copy of the marker ends earlier.
func (s *sched) parseHeader(b []byte) (rest []byte, err error) {
	const marker, maxPID = ", #threads: ", len(" (4194304")
	end := bytes.LastIndex(b[:min(len(b), 15+maxPID+len(marker))], []byte(marker))
	if end < 0 {
		return nil, errors.New("no \"NAME (PID, #threads: N)\"")
	}
	open := bytes.LastIndex(b[:end], []byte(" ("))
	if open < 0 || open > 15 {
		return nil, errors.New("no \"NAME (PID, #threads: N)\"")
	}
	s.comm = b[:open]
	_, rest = cutLine(b[end:])
	return rest, nil
}

// parseLine returns which of the values above the line held.
func (s *sched) parseLine(line []byte) (int, error) {
	key, value, ok := cutKey(line)
	switch {
	case ok:
		k, known := schedKeys[string(key)]
		if !known {
			return 0, nil
		}
		if err := k.set(s, value); err != nil {
			return 0, fmt.Errorf("%s: %w", key, err)
		}
		return k.saw, nil
	case bytes.HasPrefix(line, []byte("numa_faults node=")):
		return 0, s.parseFaults(line)
	case bytes.HasPrefix(line, []byte("current_node=")):
		return 0, s.parseGroup(line)
	}
	return 0, nil
}

func (s *sched) setPreferred(b []byte) error {
	if err := procfile.SetInt(&s.preferred, b, 32); err != nil {
		return err
	}
	if s.preferred < features.NoNode || s.preferred >= maxNodes {
		return fmt.Errorf("%d is not a node", s.preferred)
	}
	return nil
}

// parseGroup reads "current_node=0, numa_group_id=0".
func (s *sched) parseGroup(line []byte) error {
	_, id, ok := bytes.Cut(line, []byte("numa_group_id="))
	if !ok {
		return errors.New("no numa_group_id")
	}
	return procfile.SetInt(&s.group, bytes.TrimSpace(id), 32)
}

// faultKeys are the fields of a numa_faults line, in order (print_numa_stats).
// They are the NUMA_MEM faults that the kernel weighs nodes by; both kinds
// count (task_faults, group_faults).
var faultKeys = [...]string{"node=", "task_private=", "task_shared=", "group_private=", "group_shared="}

func (s *sched) parseFaults(line []byte) error {
	var v [len(faultKeys)]uint64
	rest := line
	for i, key := range faultKeys {
		_, after, ok := bytes.Cut(rest, []byte(key))
		if !ok {
			return fmt.Errorf("no %s in a numa_faults line", key)
		}
		var field []byte
		field, rest, _ = bytes.Cut(after, []byte{' '})
		if err := procfile.SetUint(&v[i], field, 64); err != nil {
			return fmt.Errorf("numa_faults %s%w", key, err)
		}
	}
	if v[0] >= maxNodes {
		return fmt.Errorf("numa_faults: %d is not a node", v[0])
	}
	f := &s.faults
	for n := int(v[0]); len(f.Task) <= n; {
		f.Task, f.Group = append(f.Task, 0), append(f.Group, 0)
	}
	f.Task[v[0]], f.Group[v[0]] = v[1]+v[2], v[3]+v[4]
	// numa_group.total_faults is not printed; it is this sum (task_numa_placement).
	f.GroupTotal += v[3] + v[4]
	return nil
}
