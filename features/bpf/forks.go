// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
)

// Fork is a new thread of a tracked one. It is tracked as well from before it
// first runs.
type Fork struct {
	Parent int32  // tid of the thread that forked
	Child  int32  // tid
	TGID   int32  // the child's process; equal to Child unless it is a thread of its parent's
	Start  uint64 // the child's start in clock ticks: with Child, its features.ID
}

// Where the fields of a fork's record are (mllb.h).
const (
	offForkStart  = unsafe.Offsetof(forksMllbFork{}.Start)
	offForkParent = unsafe.Offsetof(forksMllbFork{}.Parent)
	offForkChild  = unsafe.Offsetof(forksMllbFork{}.Child)
	offForkTGID   = unsafe.Offsetof(forksMllbFork{}.Tgid)
	forkSize      = int(unsafe.Sizeof(forksMllbFork{}))
)

// Forks follows the forks of tracked threads. Track, Untrack and Lost may be
// called while another goroutine reads.
type Forks struct {
	objs   forksObjects
	pins   pinsObjects // of WatchPins
	links  []link.Link
	reader *ringbuf.Reader
	record ringbuf.Record
	shift  int64 // as the decoder's
}

// forkLimits size the maps of the tracer.
type forkLimits struct {
	held uint32 // threads tracked at a time
	ring uint32 // bytes of forks not read yet, 32 for each; a power of two, at least a page
}

// OpenForks loads and attaches the tracepoints. Its errors are like Open's.
func OpenForks() (*Forks, error) {
	// The ring has room for 6,553 forks, each with a header of 8 bytes: most of a
	// second of a storm, and if mllbd is stopped for longer, all masks get a look.
	// It is mapped twice, so that no record wraps around.
	return openForks(forkLimits{held: 1 << 16, ring: 1 << 18})
}

func openForks(limits forkLimits) (*Forks, error) {
	f := &Forks{}
	if err := f.open(limits); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("ebpf fork tracer: %w", explain(err))
	}
	return f, nil
}

func (f *Forks) open(limits forkLimits) error {
	if err := checkNamespace("/"); err != nil {
		return err
	}
	var err error
	if f.shift, err = procfile.BootOffset("/"); err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := loadForks()
	if err != nil {
		return err
	}
	if err := checkVersion(spec); err != nil {
		return err
	}
	spec.Maps[forksMapHeld].MaxEntries = limits.held
	// Entries for what is held, not 4 MB for all that could be. The kernel allocates
	// them where threads fork and exit, which is nowhere near an allocator's locks.
	spec.Maps[forksMapHeld].Flags |= unix.BPF_F_NO_PREALLOC
	spec.Maps[forksMapForks].MaxEntries = limits.ring
	if err := spec.LoadAndAssign(&f.objs, withTypes(ebpf.CollectionOptions{})); err != nil {
		return err
	}
	if f.reader, err = ringbuf.NewReader(f.objs.Forks); err != nil {
		return err
	}
	// Exit first: a thread that ends before it is attached was never tracked.
	for _, p := range []*ebpf.Program{f.objs.OnExit, f.objs.OnExec, f.objs.OnFork} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return err
		}
		f.links = append(f.links, l)
	}
	return nil
}

// Track follows the forks of a thread from now on, and those of its children,
// until they exit. Track before the thread's mask is narrowed: a fork between
// the two would go unseen. A thread that has already exited leaves its id in
// the map: Untrack it when a later step finds it gone.
func (f *Forks) Track(tid int32) error {
	if err := f.objs.Held.Put(tid, forkTracked); err != nil {
		return fmt.Errorf("track forks of thread %d: %w", tid, err)
	}
	return nil
}

// Untrack ends what Track began. A thread that is not tracked is no error.
func (f *Forks) Untrack(tid int32) error {
	err := f.objs.Held.Delete(tid)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("untrack forks of thread %d: %w", tid, err)
	}
	return nil
}

// Read blocks until a tracked thread forks. After Close its error is
// os.ErrClosed. Only one goroutine may read.
func (f *Forks) Read() (Fork, error) {
	if err := f.reader.ReadInto(&f.record); err != nil {
		return Fork{}, fmt.Errorf("read forks: %w", err)
	}
	fork, err := decodeFork(f.record.RawSample, f.shift)
	if err != nil {
		return Fork{}, fmt.Errorf("read forks: %w", err)
	}
	return fork, nil
}

// Lost returns how many children were not reported because the ring or the
// map was full. If it grew, the masks of all threads need a look.
func (f *Forks) Lost() (uint64, error) {
	var n uint64
	if err := f.objs.Lost.Get(&n); err != nil {
		return 0, fmt.Errorf("read the count of lost forks: %w", err)
	}
	return n, nil
}

// Close detaches the tracepoints and ends a blocked Read. Nothing but Read may
// run at the same time.
func (f *Forks) Close() error {
	var errs []error
	for _, l := range f.links {
		errs = append(errs, l.Close())
	}
	f.links = nil
	if f.pins.OnSetaffinity != nil {
		errs = append(errs, f.pins.Close())
		f.pins = pinsObjects{}
	}
	if f.reader != nil {
		errs = append(errs, f.reader.Close())
	}
	if f.objs.OnFork != nil {
		errs = append(errs, f.objs.Close())
		f.objs = forksObjects{}
	}
	return errors.Join(errs...)
}

func decodeFork(b []byte, shift int64) (Fork, error) {
	if len(b) < forkSize {
		return Fork{}, fmt.Errorf("fork record of %d bytes, want %d", len(b), forkSize)
	}
	return Fork{
		Parent: int32(u32(b[offForkParent:])),
		Child:  int32(u32(b[offForkChild:])),
		TGID:   int32(u32(b[offForkTGID:])),
		Start:  ticks(u64(b[offForkStart:]), shift),
	}, nil
}
