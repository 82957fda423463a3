// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	"mllb/features"
	"mllb/topology"
)

// Where the fields of a thread's record are: mllb.h, through the types that
// bpf2go derived from the object.
const (
	offStart             = unsafe.Offsetof(threadsMllbThread{}.Start)
	offTask              = unsafe.Offsetof(threadsMllbThread{}.Task)
	offCgroup            = unsafe.Offsetof(threadsMllbThread{}.Cgroup)
	offLoad              = unsafe.Offsetof(threadsMllbThread{}.Load)
	offRuntime           = unsafe.Offsetof(threadsMllbThread{}.Runtime)
	offDelta             = unsafe.Offsetof(threadsMllbThread{}.Delta)
	offComm              = unsafe.Offsetof(threadsMllbThread{}.Comm)
	offSize              = unsafe.Offsetof(threadsMllbThread{}.Size)
	offTID               = unsafe.Offsetof(threadsMllbThread{}.Tid)
	offTGID              = unsafe.Offsetof(threadsMllbThread{}.Tgid)
	offPPID              = unsafe.Offsetof(threadsMllbThread{}.Ppid)
	offSession           = unsafe.Offsetof(threadsMllbThread{}.Session)
	offCPU               = unsafe.Offsetof(threadsMllbThread{}.Cpu)
	offState             = unsafe.Offsetof(threadsMllbThread{}.State)
	offFlags             = unsafe.Offsetof(threadsMllbThread{}.Flags)
	offRunnable          = unsafe.Offsetof(threadsMllbThread{}.Runnable)
	offPreferred         = unsafe.Offsetof(threadsMllbThread{}.PreferredNode)
	offPolicy            = unsafe.Offsetof(threadsMllbThread{}.Policy)
	offNice              = unsafe.Offsetof(threadsMllbThread{}.Nice)
	offOnCPU             = unsafe.Offsetof(threadsMllbThread{}.OnCpu)
	offMigrationDisabled = unsafe.Offsetof(threadsMllbThread{}.MigrationDisabled)
	offNUMA              = unsafe.Offsetof(threadsMllbThread{}.Numa)
	offAsked             = unsafe.Offsetof(threadsMllbThread{}.Asked)
	offDescends          = unsafe.Offsetof(threadsMllbThread{}.Descends)
	threadSize           = int(unsafe.Sizeof(threadsMllbThread{}))
)

// tickNS is a clock tick of user space: USER_HZ is 100 on amd64 and arm64.
const tickNS = 1_000_000_000 / 100

// decoder turns records into threads. Its numbers are those that the program
// was loaded with.
type decoder struct {
	cpus  int // possible CPUs
	nodes int // possible NUMA nodes
	mask  topology.CPUSet
	last  uint64 // the bits of possible CPUs in a mask's last word
	shift int64  // ns that our time namespace adds to start times
}

func newDecoder(cpus, nodes int) *decoder {
	return &decoder{
		cpus: cpus, nodes: nodes, mask: make(topology.CPUSet, (cpus+63)/64),
		last: ^uint64(0) >> (-cpus & 63),
	}
}

// size returns how long a record with the given MLLB_HAS_* bits is, and with one
// mask or two.
func (d *decoder) size(numa, asked byte) int {
	n := threadSize + 8*len(d.mask)*(1+int(asked))
	if numa&features.HasFaults != 0 {
		n += 8 * (2 + 4*d.nodes)
	}
	return n
}

// decode appends every whole record at the start of b to s and returns how
// many bytes those were.
func (d *decoder) decode(b []byte, s *features.Snapshot) (int, error) {
	done := 0
	for len(b)-done >= threadSize {
		r := b[done:]
		size := int(binary.LittleEndian.Uint32(r[offSize:]))
		if want := d.size(r[offNUMA], r[offAsked]); size != want {
			return done, fmt.Errorf("thread record of %d bytes, want %d", size, want)
		}
		if len(r) < size {
			break
		}
		if err := d.thread(r[:size], s); err != nil {
			return done, err
		}
		done += size
	}
	return done, nil
}

// thread appends one record, whose size has been checked.
func (d *decoder) thread(r []byte, s *features.Snapshot) error {
	f := (*[threadSize]byte)(r) // constant offsets into it need no bounds checks
	cpu := u32(f[offCPU:])
	if int(cpu) >= d.cpus || f[offNUMA] > features.HasFaults|features.HasGroup {
		return fmt.Errorf("record of thread %d: cpu %d of %d, numa bits %#x",
			int32(u32(f[offTID:])), cpu, d.cpus, f[offNUMA])
	}
	asked, rest := int32(-1), r[threadSize:]
	if f[offAsked] != 0 { // first, so that the mask that most threads have is the last one looked up
		d.words(rest[8*len(d.mask):])
		asked = s.Mask(d.mask)
	}
	d.words(rest)
	// The kernel leaves bits from nr_cpu_ids on undefined (include/linux/cpumask.h, 6.12).
	d.mask[len(d.mask)-1] &= d.last
	mask := s.Mask(d.mask)
	rest = rest[8*len(d.mask)*(1+int(f[offAsked])):]
	s.Threads = append(s.Threads, features.Thread{
		ID:                features.ID{TID: int32(u32(f[offTID:])), Start: ticks(u64(f[offStart:]), d.shift)},
		TGID:              int32(u32(f[offTGID:])),
		Task:              u64(f[offTask:]),
		PPID:              int32(u32(f[offPPID:])),
		Session:           int32(u32(f[offSession:])),
		Comm:              [16]byte(f[offComm:]),
		Cgroup:            u64(f[offCgroup:]),
		CPU:               int32(cpu),
		State:             state(u32(f[offState:])),
		Descends:          f[offDescends] != 0,
		Running:           f[offOnCPU] != 0,
		MigrationDisabled: f[offMigrationDisabled] != 0,
		Policy:            f[offPolicy],
		Flags:             u32(f[offFlags:]),
		Nice:              int8(f[offNice]),
		NUMAType:          f[offNUMA],
		Allowed:           mask,
		Asked:             asked,
		Load:              u64(f[offLoad:]),
		Runnable:          u32(f[offRunnable:]),
		Runtime:           u64(f[offRuntime:]),
		Delta:             int64(u64(f[offDelta:])),
		PreferredNode:     int32(u32(f[offPreferred:])),
		Faults:            -1,
		Owner:             mask,
		Hold:              -1,
	})
	if f[offNUMA]&features.HasFaults != 0 {
		s.Threads[len(s.Threads)-1].Faults = int32(len(s.Faults))
		d.faults(rest, f[offNUMA]&features.HasGroup != 0, s)
	}
	return nil
}

// words copies a mask of a record into d.mask.
func (d *decoder) words(b []byte) {
	for i := range d.mask {
		d.mask[i] = u64(b[8*i:])
	}
}

// ticks is a start time as /proc shows it (timens_add_boottime_ns, fs/proc/array.c, 6.12).
func ticks(start uint64, shift int64) uint64 { return (start + uint64(shift)) / tickNS }

// faults appends a thread's NUMA faults, in the memory of an earlier pass
// where there is some.
func (d *decoder) faults(b []byte, group bool, s *features.Snapshot) {
	n := len(s.Faults)
	if n < cap(s.Faults) {
		s.Faults = s.Faults[:n+1]
	} else {
		s.Faults = append(s.Faults, features.NodeFaults{})
	}
	f := &s.Faults[n]
	f.TaskTotal, f.GroupTotal = u64(b), u64(b[8:])
	f.Task = sumPairs(f.Task[:0], b[16:16+16*d.nodes])
	f.Group = f.Group[:0]
	if group {
		f.Group = sumPairs(f.Group, b[16+16*d.nodes:])
	}
}

// sumPairs adds up shared and private faults of each node, as task_faults()
// and group_faults() do (kernel/sched/fair.c, 6.12).
func sumPairs(sums []uint64, b []byte) []uint64 {
	for ; len(b) >= 16; b = b[16:] {
		sums = append(sums, u64(b)+u64(b[8:]))
	}
	return sums
}

// Bits of the kernel's __state and exit_state (include/linux/sched.h, 6.1 to 7.2).
const (
	taskUninterruptible = 0x0002
	taskReport          = 0x007f // TASK_REPORT
	taskReportIdle      = 0x0080 // TASK_REPORT_IDLE
	taskNoLoad          = 0x0400
	taskIdle            = taskUninterruptible | taskNoLoad
	taskRTLockWait      = 0x1000
	taskFrozen          = 0x8000
)

// state is __task_state_index() and task_state_to_char() of the kernel: the
// letter that proc_pid_stat(5) shows. A task whose dequeue is delayed (6.12
// and later) is on its queue still but has its sleeping state.
func state(raw uint32) byte {
	s := raw & taskReport
	if raw&taskIdle == taskIdle {
		s = taskReportIdle
	}
	if raw&(taskRTLockWait|taskFrozen) != 0 {
		s = taskUninterruptible
	}
	return "RSDTtXZPI"[bits.Len32(s)]
}

func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
