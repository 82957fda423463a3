// SPDX-License-Identifier: Apache-2.0

package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// Scheduling policies (include/uapi/linux/sched.h).
const (
	SchedOther    = 0
	SchedFIFO     = 1
	SchedRR       = 2
	SchedBatch    = 3
	SchedIdle     = 5
	SchedDeadline = 6
	SchedExt      = 7
)

// Task flags (include/linux/sched.h, stable since 5.13).
const (
	FlagIOWorker      = 0x00000010 // PF_IO_WORKER
	FlagUserWorker    = 0x00004000 // PF_USER_WORKER
	FlagKthread       = 0x00200000 // PF_KTHREAD
	FlagNoSetAffinity = 0x04000000 // PF_NO_SETAFFINITY
)

// ID names a thread for as long as the host is up. A thread id alone may be
// reused; with the start time it may not.
type ID struct {
	TID   int32
	Start uint64 // start_boottime in clock ticks (USER_HZ), field 22 of proc_pid_stat(5)
}

// Thread is one thread of the host at the moment of a snapshot.
type Thread struct {
	ID
	Task    uint64 // where the reader finds it again, for Snapshot.Keep; 0: it cannot
	TGID    int32  // process
	PPID    int32  // real parent's process
	Session int32
	Comm    [16]byte // NUL-terminated
	Cgroup  uint64   // inode of its directory in the snapshot's cgroup hierarchy; 0 if unknown

	CPU               int32
	State             byte   // as in proc_pid_stat(5): R S D I T t Z X ...
	Descends          bool   // from the process that the reader was told of; only where Snapshot.Partial
	Running           bool   // on a CPU at this moment (task.on_cpu)
	MigrationDisabled bool   // migration is disabled at this moment (task.migration_disabled)
	Policy            uint8  // SCHED_*
	Flags             uint32 // PF_*
	Nice              int8
	NUMAType          uint8 // bit 0: has numa_faults, bit 1: has a numa_group

	Allowed int32 // index into Snapshot.Masks: task.cpus_mask
	// Asked is an index likewise, or -1: task.user_cpus_ptr, the mask as
	// sched_setaffinity(2) was given it, with bits of CPUs that do not exist.
	// Only where Snapshot.Asked.
	Asked int32

	Load     uint64 // se.avg.load_avg
	Runnable uint32 // se.avg.runnable_avg: 1024 wants a CPU all the time
	Runtime  uint64 // se.sum_exec_runtime, ns
	Delta    int64  // clock_task of its runqueue - se.exec_start, ns

	PreferredNode int32 // nid or NoNode
	Faults        int32 // index into Snapshot.Faults of its NUMA faults, or -1

	// Not the kernel's: what mllb knows of the thread. See Snapshot for who
	// writes them, and when.
	Managed bool  // in scope, and nothing forbids moving it
	Owner   int32 // index into Snapshot.Masks: the mask its owner set
	Hold    int32 // the CPU that mllb holds it on, or -1
}

// Bits of Thread.NUMAType.
const (
	HasFaults = 1 << iota
	HasGroup
)

// StateRunning is Thread.State of a thread that runs or waits to run.
const StateRunning = 'R'

// Queued reports whether the thread runs or waits for a CPU.
func (t *Thread) Queued() bool { return t.State == StateRunning }

// Name returns the thread's command name.
func (t *Thread) Name() string {
	for i, c := range t.Comm {
		if c == 0 {
			return string(t.Comm[:i])
		}
	}
	return string(t.Comm[:])
}

// Comm turns a command name into what the kernel keeps of it: 15 bytes
// (TASK_COMM_LEN, include/linux/sched.h).
func Comm(name string) (comm [16]byte) {
	copy(comm[:15], name)
	return comm
}

// NodeFaults are the NUMA hinting faults of one thread by nid.
type NodeFaults struct {
	Task, Group           []uint64
	TaskTotal, GroupTotal uint64
}

// Runqueue is one CPU's runqueue at the moment of a snapshot.
type Runqueue struct {
	Online             bool
	NrRunning          uint32 // rq.nr_running
	NrQueued           uint32 // rq.cfs.h_nr_running (6.12), h_nr_queued (6.14 and later); by eBPF and rq.scx.nr_running
	NrPreferredRunning uint32 // tasks running on their preferred node
	NrNUMARunning      uint32 // tasks that have a preferred node
	LoadAvg            uint64 // rq.cfs.avg.load_avg
	Clock              uint64 // rq_clock_task, ns

	// Speed is what the CPU was measured to be worth at this moment, of 1024 for the
	// machine's fastest, as cpu_capacity is; 0: not known. The kernel does not say it:
	// the loop writes it (see Snapshot).
	Speed uint32
}

// FullSpeed is the Runqueue.Speed of the machine's fastest CPU (SCHED_CAPACITY_SCALE,
// include/linux/sched.h).
const FullSpeed = 1024

// Snapshot is a host at one moment. A reader fills it in place and reuses its
// memory; nothing in it may be kept past the next fill.
//
// In a tick of the scheduler's loop it is written in this order, and only so:
//
//  1. The reader writes what the kernel says. It leaves Managed false, Owner
//     equal to Allowed and Hold -1.
//  2. The loop sets Managed and the runqueues' Speed, and takes the daemon's own threads out of the load:
//     State and Running, and NrRunning and NrQueued of their runqueues.
//  3. The enforcer's Sync sets Owner and Hold, clears Managed of what its owner
//     took over, and sets Allowed of children whose mask it restored. It may
//     append to Masks.
//  4. The scope's Mark clears Managed of what is out of scope.
//
// All that follows, from the plan to the observers, only reads it. The types do
// not enforce this, as a copy would cost each tick; tests do (TestSnapshotOrder
// of scheduler, TestMachine of affinity).
type Snapshot struct {
	Time          int64  // CLOCK_MONOTONIC, ns
	Now           uint64 // the boot time in clock ticks, in which ID.Start is given; 0: not known
	Runqueues     []Runqueue
	Threads       []Thread
	Masks         []topology.CPUSet // the distinct masks
	Faults        []NodeFaults
	NUMABalancing bool
	MigrationCost int64 // ns; -1 always hot, 0 never
	Asked         bool  // Thread.Asked is read: by eBPF only

	// Partial: Threads are those that are on a runqueue or run, those of Keep, init, and
	// a few of the rest. Otherwise they are all that the host has.
	Partial bool
	// Keep is the Task of each thread that the next reading is to have, asleep or not.
	// It is written before that, and only read by it.
	Keep []uint64

	masks map[string]int32
	key   []byte
	last  int32 // what Mask returned last
}

// maxMasks bounds what years of changing masks may leave behind: a snapshot
// that holds more forgets them all at its next Reset.
const maxMasks = 4096

// firstMasks is how many masks are compared before the table is asked: all
// CPUs and the first per-CPU ones, say.
const firstMasks = 4

// muchRoom is for how many threads room is kept that are not there.
const muchRoom = 10_000

// Reset empties the snapshot and keeps its memory, but for what a far larger one took.
func (s *Snapshot) Reset() {
	for i := range s.Runqueues {
		s.Runqueues[i] = Runqueue{}
	}
	if cap(s.Threads) > muchRoom && len(s.Threads) < cap(s.Threads)/8 {
		s.Threads = nil // it held a whole host once
	}
	s.Threads = s.Threads[:0]
	s.Faults = s.Faults[:0]
	s.Asked, s.Partial = false, false
	if len(s.Masks) > maxMasks {
		s.Masks = s.Masks[:0]
		clear(s.masks)
	}
}

// Stamp notes what time it is.
func (s *Snapshot) Stamp() error {
	var now, boot unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &now), unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	s.Time, s.Now = now.Nano(), uint64(boot.Nano())/1e7
	return nil
}

// Mask returns the index of a mask equal to m, which it copies into the
// snapshot if it is new. Masks are few; they outlive Reset, unless there are
// more than maxMasks of them. Threads come in runs of one mask and most have
// one of the first, so those are tried before the table.
func (s *Snapshot) Mask(m topology.CPUSet) int32 {
	for len(m) > 0 && m[len(m)-1] == 0 {
		m = m[:len(m)-1]
	}
	if int(s.last) < len(s.Masks) && slices.Equal(s.Masks[s.last], m) {
		return s.last
	}
	for i := range min(len(s.Masks), firstMasks) {
		if slices.Equal(s.Masks[i], m) {
			s.last = int32(i)
			return s.last
		}
	}
	s.last = s.intern(m)
	return s.last
}

// intern looks a mask without trailing zeros up in the table, or adds it.
func (s *Snapshot) intern(m topology.CPUSet) int32 {
	s.key = s.key[:0]
	for _, w := range m {
		s.key = binary.LittleEndian.AppendUint64(s.key, w)
	}
	if i, ok := s.masks[string(s.key)]; ok {
		return i
	}
	if s.masks == nil {
		s.masks = make(map[string]int32)
	}
	i := int32(len(s.Masks))
	s.Masks = append(s.Masks, m.Clone())
	s.masks[string(s.key)] = i
	return i
}

// Hold is one thread to be kept on one CPU: what the scheduler asks of an
// enforcer.
type Hold struct {
	Thread int32 // index into Snapshot.Threads
	CPU    int32
}
