// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"mllb/features"
	"mllb/topology"
)

// Of mllb.h.
const (
	maxKept  = 65536
	pause    = ^uint64(0)
	stepSize = 256 // threads; audit_step of threads.bpf.c
)

// Where the fields of the state of a pass are (mllb.h).
const (
	offPassKept    = unsafe.Offsetof(threadsMllbAwake{}.Kept)
	offPassCPU     = unsafe.Offsetof(threadsMllbAwake{}.Cpu)
	offPassSize    = unsafe.Offsetof(threadsMllbAwake{}.Size)
	offPassGaveUp  = unsafe.Offsetof(threadsMllbAwake{}.GaveUp)
	offPassAstray  = unsafe.Offsetof(threadsMllbAwake{}.Astray)
	offPassRecords = unsafe.Offsetof(threadsMllbAwake{}.Records)
)

// awake is what it takes to read only the threads that are awake.
type awake struct {
	program *ebpf.Program
	iter    *link.Iter // of the audit
	kept    *ebpf.Memory
	err     error // why there is none

	head   [offPassRecords]byte // of the state, as read last
	buf    []byte               // records of a run
	seen   idSet                // threads of this snapshot
	met    bool                 // a whole snapshot was taken, which has met the runqueues
	online string               // the file that lists the CPUs that are online
	looked int64                // Snapshot.Time at which that was read last
	init   uint64               // Task of thread 1, or 0
	audit  audit
	wholes uint64 // readings of all threads where only the awake ones were asked for
}

// loadAwake loads the programs that read the threads that are awake. A kernel that
// refuses them can still take whole snapshots, so they are loaded apart from those.
func (r *Reader) loadAwake(spec *ebpf.CollectionSpec) error {
	var objs struct {
		Awake *ebpf.Program `ebpf:"awake"`
		Audit *ebpf.Program `ebpf:"audit"`
	}
	err := spec.LoadAndAssign(&objs, withTypes(ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		threadsMapRunqueues: r.objs.Runqueues, threadsMapPasses: r.objs.Passes, threadsMapKept: r.objs.Kept,
	}}))
	if err != nil {
		return err
	}
	defer objs.Audit.Close() // the link keeps it
	r.awake.program = objs.Awake
	if r.awake.kept, err = r.objs.Kept.Memory(); err != nil {
		return fmt.Errorf("map what is kept: %w", err)
	}
	r.awake.iter, err = link.AttachIter(link.IterOptions{Program: objs.Audit})
	return err
}

func (r *Reader) closeAwake() error {
	a := &r.awake
	r.stopAudit()
	var errs []error
	if a.iter != nil {
		errs = append(errs, a.iter.Close())
	}
	if a.program != nil {
		errs = append(errs, a.program.Close())
	}
	*a = awake{err: a.err, online: a.online}
	return errors.Join(errs...)
}

// meetInit notes where init is, and when and of how many threads an audit has just
// become needless, by a snapshot of all threads.
func (r *Reader) meetInit(s *features.Snapshot) {
	for i := range s.Threads {
		if s.Threads[i].TID == 1 {
			r.awake.init = s.Threads[i].Task
		}
	}
	r.awake.met = true
	r.stopAudit()
	r.awake.audit.began, r.awake.audit.total = s.Time, len(s.Threads)/stepSize
}

// AwakeError says why Awake reads all threads; nil means that it need not.
func (r *Reader) AwakeError() error { return r.awake.err }

// Wholes is how often Awake has read all threads because it had to: queues changed
// faster than they could be read, too much was to be kept, or the kernel refuses it.
func (r *Reader) Wholes() uint64 { return r.awake.wholes }

// Astray is how often a queue was read once more because it changed meanwhile.
func (r *Reader) Astray() uint64 { return u64(r.awake.head[offPassAstray:]) }

// Awake fills s with the threads that are on a runqueue or run, with those that s.Keep
// names, asleep or not, with init, and in the course of auditEvery with each user
// thread whose mask mllb may have set. Real-time threads that wait are not read, nor
// those that a cgroup's limit keeps off their runqueue. Its time grows with those that
// it reads. Where it cannot tell it reads all, as Snapshot does: s.Partial says which.
func (r *Reader) Awake(s *features.Snapshot) error {
	if r.iter == nil {
		return fmt.Errorf("ebpf snapshot: %w", os.ErrClosed)
	}
	if r.awake.program == nil || !r.awake.met || len(s.Keep) >= maxKept {
		r.awake.wholes++
		return r.Snapshot(s)
	}
	if err := r.keep(s.Keep); err != nil {
		return err
	}
	kept := len(s.Keep) + 1
	if err := r.begin(s); err != nil {
		return err
	}
	if err := r.expect(s.Time); err != nil {
		return fmt.Errorf("ebpf snapshot: %w", err)
	}
	if !r.awake.met {
		r.awake.wholes++
		return r.Snapshot(s)
	}
	s.Partial = true
	r.awake.seen.clear()
	whole, err := r.walk(s, kept)
	if err != nil {
		return fmt.Errorf("ebpf snapshot: %w", err)
	}
	if whole {
		r.awake.wholes++
		return r.Snapshot(s)
	}
	if err := r.look(s); err != nil {
		r.stopAudit()
		return fmt.Errorf("ebpf audit: %w", err)
	}
	if err := r.runqueues(s); err != nil {
		return err
	}
	r.last = s.Time
	return nil
}

// expect has all threads read once a CPU is online whose runqueue no pass has met: it
// was offline before. It looks once a second.
func (r *Reader) expect(now int64) error {
	if now-r.awake.looked < refreshNS {
		return nil
	}
	r.awake.looked = now
	text, err := os.ReadFile(r.awake.online)
	if err != nil {
		return err
	}
	online, err := topology.ParseCPUList(string(text))
	if err != nil {
		return fmt.Errorf("read %s: %w", r.awake.online, err)
	}
	for cpu := range online.All() {
		if cpu < r.decoder.cpus && u64(r.rqs[cpu*rqSize+int(offRQ):]) == 0 {
			r.awake.met = false
		}
	}
	return nil
}

// keep writes down which threads are to be read in any case.
func (r *Reader) keep(tasks []uint64) error {
	b := binary.LittleEndian.AppendUint64(r.awake.buf[:0], r.awake.init)
	for _, task := range tasks {
		b = binary.LittleEndian.AppendUint64(b, task)
	}
	r.awake.buf = b
	if _, err := r.awake.kept.WriteAt(b, 0); err != nil {
		return fmt.Errorf("name the threads to keep: %w", err)
	}
	return nil
}

// walk runs the program until it has been to all CPUs, or says that all threads
// are to be read instead.
func (r *Reader) walk(s *features.Snapshot, kept int) (whole bool, err error) {
	head := r.awake.head[:]
	binary.LittleEndian.PutUint64(head, r.pass)
	for i, v := range []int{r.ancestor, kept, 0, 0, 0, 0} { // self, nr_kept, kept, cpu, size, gave_up
		binary.LittleEndian.PutUint32(head[8+4*i:], uint32(v))
	}
	for {
		if _, err := r.passes.WriteAt(head, 0); err != nil {
			return false, fmt.Errorf("begin a pass: %w", err)
		}
		if err := runProgram(r.awake.program.FD()); err != nil {
			return false, err
		}
		if _, err := r.passes.ReadAt(head, 0); err != nil {
			return false, fmt.Errorf("read how far a pass came: %w", err)
		}
		size := u32(head[offPassSize:])
		if err := r.take(s, int(size)); err != nil {
			return false, err
		}
		binary.LittleEndian.PutUint32(head[offPassSize:], 0)
		switch {
		case int(u32(head[offPassCPU:])) >= r.decoder.cpus:
			return false, nil
		case u32(head[offPassGaveUp:]) != 0 || size == 0:
			return true, nil
		}
	}
}

// take decodes the records of a run.
func (r *Reader) take(s *features.Snapshot, size int) error {
	if cap(r.awake.buf) < size {
		r.awake.buf = make([]byte, size, 2*size)
	}
	b := r.awake.buf[:size]
	if _, err := r.passes.ReadAt(b, int64(offPassRecords)); err != nil {
		return fmt.Errorf("read the records of a pass: %w", err)
	}
	return r.decodeNew(b, s)
}

// decodeNew decodes records, of which it leaves out those of threads that s has
// already: they moved, or were named as well.
func (r *Reader) decodeNew(b []byte, s *features.Snapshot) error {
	from := len(s.Threads)
	done, err := r.decoder.decode(b, s)
	if err != nil {
		return err
	}
	if done != len(b) {
		return fmt.Errorf("%d bytes after the last whole record", len(b)-done)
	}
	n := from
	for i := from; i < len(s.Threads); i++ {
		if !r.awake.seen.add(s.Threads[i].TID) {
			continue
		}
		if n != i {
			s.Threads[n] = s.Threads[i]
		}
		n++
	}
	s.Threads = s.Threads[:n]
	return nil
}

// idSet is a set of thread ids.
type idSet struct {
	slots []int32 // 0: free; a power of two, at most half of them used
	n     int
}

func (s *idSet) clear() {
	clear(s.slots)
	s.n = 0
}

// add reports whether the id is new.
func (s *idSet) add(tid int32) bool {
	if 2*s.n >= len(s.slots) {
		s.grow()
	}
	i := s.find(tid)
	if s.slots[i] == tid {
		return false
	}
	s.slots[i] = tid
	s.n++
	return true
}

// find returns where an id is, or is to be.
func (s *idSet) find(tid int32) int {
	mask := len(s.slots) - 1
	i := int(uint32(tid)*2654435769>>8) & mask
	for s.slots[i] != 0 && s.slots[i] != tid {
		i = (i + 1) & mask
	}
	return i
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]int32, max(256, 2*len(old)))
	for _, tid := range old {
		if tid != 0 {
			s.slots[s.find(tid)] = tid
		}
	}
}
