// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/procfile"
	"mllb/topology"
)

// threadFiles are the files of a thread, in the order in which they are read.
var threadFiles = [...]struct {
	name string
	fill func(*Reader, *features.Thread, []byte) error
	skip func(*Reader) bool
}{
	{"stat", (*Reader).fillStat, func(*Reader) bool { return false }},
	{"status", (*Reader).fillStatus, func(*Reader) bool { return false }},
	{"cgroup", (*Reader).fillCgroup, func(r *Reader) bool { return r.noCgroups != nil }},
	// Last: exec_start and load age fastest.
	{"sched", (*Reader).fillSched, func(r *Reader) bool { return r.noSched != nil }},
}

// readThread appends thread tid of process pid to s, whole or not at all.
func (r *Reader) readThread(s *features.Snapshot, pid, tid int) error {
	path := r.root + "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid)
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(dir)
	t := features.Thread{
		ID: features.ID{TID: int32(tid)}, TGID: int32(pid),
		PreferredNode: features.NoNode, Faults: -1, Hold: -1,
	}
	r.sched.execStart = 0
	for i := range threadFiles {
		f := &threadFiles[i]
		if f.skip(r) {
			continue
		}
		if r.buf, err = readAt(dir, f.name, r.buf); err == nil {
			err = f.fill(r, &t, r.buf)
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", path, f.name, err)
		}
	}
	t.Allowed = s.Mask(r.mask)
	t.Owner = t.Allowed
	if t.NUMAType != 0 {
		t.Faults = appendFaults(s, &r.sched.faults)
	}
	s.Threads = append(s.Threads, t)
	r.execStart = append(r.execStart, r.sched.execStart)
	return nil
}

func (r *Reader) fillStat(t *features.Thread, b []byte) error {
	st := &r.stat
	if err := st.Parse(b); err != nil {
		return err
	}
	if st.CPU < 0 || st.CPU >= topology.MaxCPUs {
		return fmt.Errorf("field 39 (processor): %d is not a cpu", st.CPU)
	}
	t.Start, t.State, t.CPU = st.Start, st.State, st.CPU
	t.PPID, t.Session = st.PPID, st.Session
	t.Policy, t.Flags, t.Nice = st.Policy, st.Flags, st.Nice
	setComm(t, st.Comm)
	return nil
}

func (r *Reader) fillStatus(_ *features.Thread, b []byte) (err error) {
	r.mask, err = procfile.StatusAllowed(b, r.mask)
	return err
}

func (r *Reader) fillCgroup(t *features.Thread, b []byte) error {
	path, err := parseCgroup(b, r.hierarchy)
	if path != nil {
		t.Cgroup = r.inodeOf(path)
	}
	return err
}

func (r *Reader) fillSched(t *features.Thread, b []byte) error {
	c := &r.sched
	if err := c.parse(b); err != nil {
		return err
	}
	// task.comm itself; stat has the long name of kernel threads
	// (proc_task_name, fs/proc/array.c).
	setComm(t, c.comm)
	t.Load, t.Runnable, t.Runtime = c.load, c.runnable, c.runtime
	if c.noLoad && r.noLoad == nil {
		r.noLoad = fmt.Errorf("thread %d: no se.avg.load_avg in its sched file", t.TID)
	}
	t.PreferredNode = c.preferred
	if c.hasFaults() {
		t.NUMAType |= features.HasFaults
	}
	if c.group != 0 {
		t.NUMAType |= features.HasGroup
	}
	return nil
}

func setComm(t *features.Thread, name []byte) {
	t.Comm = [16]byte{}
	copy(t.Comm[:15], name)
}

// appendFaults copies f behind s.Faults, into slices that an earlier snapshot
// left there if there are such.
func appendFaults(s *features.Snapshot, f *features.NodeFaults) int32 {
	i := len(s.Faults)
	if i < cap(s.Faults) {
		s.Faults = s.Faults[:i+1]
	} else {
		s.Faults = append(s.Faults, features.NodeFaults{})
	}
	d := &s.Faults[i]
	d.Task, d.Group = append(d.Task[:0], f.Task...), append(d.Group[:0], f.Group...)
	d.TaskTotal, d.GroupTotal = f.TaskTotal, f.GroupTotal
	return int32(i)
}
