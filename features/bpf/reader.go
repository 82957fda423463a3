// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/procfile"
	"mllb/topology"
)

// version is MLLB_VERSION of mllb.h as this package understands it.
const version = 5

// maxNodes is MLLB_MAX_NODES of mllb.h.
const maxNodes = 1024

// readBytes holds what one read(2) of an iterator returns at the most: its
// seq_file has 8 pages (bpf_seq_read, kernel/bpf/bpf_iter.c); with pages of
// 4 KiB that is half of it.
const readBytes = 64 << 10

// Options say what a Reader reads. The zero value is right for most hosts.
type Options struct {
	// Hierarchy is the id of the cgroup hierarchy that Thread.Cgroup refers to,
	// as in /proc/self/cgroup; 0 is version 2.
	Hierarchy int
	// CPUs is the number of possible CPUs: the greatest id plus 1. 0: ask the kernel.
	CPUs int
	// Nodes is the number of possible NUMA nodes, likewise.
	Nodes int
	// Ancestor is the process whose descendants have Thread.Descends in partial
	// snapshots; 0: none.
	Ancestor int32
	// Root holds proc and sys; empty is "/".
	Root string
}

// Reader takes snapshots of the host by eBPF. It may not be used by several
// goroutines at a time.
type Reader struct {
	objs       objects
	recount    *ebpf.Program // nil where the kernel has no use for it
	last       int64         // Time of the last whole snapshot; 0: none
	iter       *link.Iter
	recountErr error // why it is nil
	queues     *ebpf.Memory
	passes     *ebpf.Memory // the state of a pass
	pass       uint64       // number of the last
	ancestor   int
	awake      awake
	decoder    *decoder
	tunables   *tunables
	buf        []byte // what a read returned
	rqs        []byte // a copy of the runqueue map
}

// Open loads the programs. The error says in one line what is missing; where
// the verifier refused a program, errors.As finds an *ebpf.VerifierError.
func Open(opt Options) (*Reader, error) {
	r, err := open(opt)
	if err != nil {
		return nil, fmt.Errorf("ebpf snapshots: %w", explain(err))
	}
	return r, nil
}

func open(opt Options) (_ *Reader, err error) {
	if opt.Root == "" {
		opt.Root = "/"
	}
	if err := opt.complete(); err != nil {
		return nil, err
	}
	if err := checkNamespace(opt.Root); err != nil {
		return nil, err
	}
	r := &Reader{
		decoder:  newDecoder(opt.CPUs, opt.Nodes),
		tunables: newTunables(opt.Root),
		buf:      make([]byte, readBytes),
		ancestor: int(opt.Ancestor),
		awake:    awake{online: filepath.Join(opt.Root, "sys/devices/system/cpu/online")},
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.decoder.shift, err = procfile.BootOffset(opt.Root); err != nil {
		return nil, err
	}
	if err = r.tunables.refresh(0); err != nil {
		return nil, err
	}
	if err = r.load(opt); err != nil {
		return nil, err
	}
	if r.queues, err = r.objs.Runqueues.Memory(); err != nil {
		return nil, fmt.Errorf("map the runqueues: %w", err)
	}
	if r.passes, err = r.objs.Passes.Memory(); err != nil {
		return nil, fmt.Errorf("map the state of a pass: %w", err)
	}
	r.rqs = make([]byte, r.queues.Size())
	r.iter, err = link.AttachIter(link.IterOptions{Program: r.objs.Threads})
	return r, err
}

// complete fills in what the kernel knows better, and checks the rest.
func (o *Options) complete() (err error) {
	if o.CPUs == 0 {
		if o.CPUs, err = possible(filepath.Join(o.Root, "sys/devices/system/cpu/possible")); err != nil {
			return err
		}
	}
	if o.Nodes == 0 {
		o.Nodes, err = possible(filepath.Join(o.Root, "sys/devices/system/node/possible"))
		if errors.Is(err, fs.ErrNotExist) { // CONFIG_NUMA is off
			o.Nodes, err = 1, nil
		}
		if err != nil {
			return err
		}
	}
	if o.CPUs < 1 || o.CPUs > topology.MaxCPUs || o.Nodes < 1 || o.Nodes > maxNodes || o.Hierarchy < 0 {
		return fmt.Errorf("%d cpus, %d nodes, cgroup hierarchy %d: out of range", o.CPUs, o.Nodes, o.Hierarchy)
	}
	return nil
}

// possible returns the greatest id of a list in sysfs plus 1.
func possible(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	ids, err := topology.ParseCPUList(string(text))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	last := -1
	for id := range ids.All() {
		last = id
	}
	return last + 1, nil
}

// load sets the constants of the program and loads it.
func (r *Reader) load(opt Options) error {
	// Before 5.11 maps counted against RLIMIT_MEMLOCK; since then this does nothing.
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := loadThreads()
	if err != nil {
		return err
	}
	if err := checkVersion(spec); err != nil {
		return err
	}
	for name, v := range map[string]uint32{
		threadsVarMaskWords: uint32(len(r.decoder.mask)),
		threadsVarNrNodes:   uint32(opt.Nodes),
		threadsVarNrCpus:    uint32(opt.CPUs),
		threadsVarAuditStep: stepSize,
		threadsVarHierarchy: uint32(opt.Hierarchy),
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	spec.Maps[threadsMapRunqueues].MaxEntries = uint32(opt.CPUs)
	if err := spec.LoadAndAssign(&r.objs, withTypes(ebpf.CollectionOptions{})); err != nil {
		if why := checkGroupSched(); errors.Is(why, ErrNoGroupSched) {
			return fmt.Errorf("%w: %w", why, err)
		}
		return err
	}
	r.recount, r.recountErr = loadRecount(spec, r.objs.Runqueues)
	if err := r.loadAwake(spec); err != nil {
		r.closeAwake()
		r.awake.err = fmt.Errorf("ebpf snapshots of what is awake: %w", explain(err))
	}
	return nil
}

// MigrationCostError says why Snapshot.MigrationCost is the kernel's default
// of 500 us; nil means that it is read from debugfs.
func (r *Reader) MigrationCostError() error { return r.tunables.costErr }

// Close gives everything back. It may be called more than once.
func (r *Reader) Close() error {
	var errs []error
	if r.iter != nil {
		errs = append(errs, r.iter.Close())
		r.iter = nil
	}
	errs = append(errs, r.closeAwake())
	if r.objs.Threads != nil {
		errs = append(errs, r.objs.Threads.Close(), r.objs.threadsMaps.Close())
		r.objs = objects{}
	}
	if r.recount != nil {
		errs = append(errs, r.recount.Close())
		r.recount = nil
	}
	return errors.Join(errs...)
}

// Snapshot fills s with the host's state now. Threads come in the order of
// their ids. In a steady state it allocates nothing, but for a few small reads
// of the kernel's settings once a second.
func (r *Reader) Snapshot(s *features.Snapshot) error {
	if r.iter == nil {
		return fmt.Errorf("ebpf snapshot: %w", os.ErrClosed)
	}
	if err := r.begin(s); err != nil {
		return err
	}
	if err := r.iterate(r.iter.FD(), s); err != nil {
		return fmt.Errorf("ebpf snapshot: %w", err)
	}
	if err := r.runqueues(s); err != nil {
		return err
	}
	r.last = s.Time
	r.meetInit(s)
	return nil
}

// begin empties a snapshot and stamps it, and gives the pass that fills it a number.
func (r *Reader) begin(s *features.Snapshot) error {
	s.Reset()
	if err := s.Stamp(); err != nil {
		return err
	}
	s.Asked, r.last = true, 0
	if err := r.tunables.refresh(s.Time); err != nil {
		return err
	}
	s.NUMABalancing, s.MigrationCost = r.tunables.numaBalancing, r.tunables.migrationCost
	return r.number()
}

// number tells the programs that a new pass begins.
func (r *Reader) number() error {
	r.pass++
	binary.LittleEndian.PutUint64(r.buf, r.pass)
	if _, err := r.passes.WriteAt(r.buf[:8], 0); err != nil {
		return fmt.Errorf("number a pass: %w", err)
	}
	return nil
}

// iterate runs an iterator once. It cannot be rewound, so each pass has a file
// of its own.
func (r *Reader) iterate(link int, s *features.Snapshot) error {
	fd, err := iterCreate(link)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	held := 0 // bytes of a record whose end has not come yet
	for {
		n, err := unix.Read(fd, r.buf[held:])
		if err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: a million tasks without output
			continue
		}
		if err != nil {
			return fmt.Errorf("read iterator: %w", err)
		}
		if n == 0 {
			break
		}
		held += n
		done, err := r.decoder.decode(r.buf[:held], s)
		if err != nil {
			return err
		}
		held = copy(r.buf, r.buf[done:held])
	}
	if held > 0 {
		return fmt.Errorf("%d bytes after the last whole record", held)
	}
	return nil
}

// iterCreate is bpf(2) with BPF_ITER_CREATE; link.Iter.Open would allocate.
func iterCreate(link int) (int, error) {
	attr := struct{ linkFD, flags uint32 }{linkFD: uint32(link)}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_ITER_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, fmt.Errorf("create iterator: %w", errno)
	}
	return int(fd), nil
}

// runqueues copies what the pass left in the map. A CPU that it did not meet
// keeps what an older pass wrote, and an offline one may still have parked
// threads: both are shown offline.
func (r *Reader) runqueues(s *features.Snapshot) error {
	if _, err := r.queues.ReadAt(r.rqs, 0); err != nil {
		return fmt.Errorf("read the runqueue map: %w", err)
	}
	if len(s.Runqueues) != r.decoder.cpus {
		s.Runqueues = make([]features.Runqueue, r.decoder.cpus)
	}
	decodeRunqueues(r.rqs, s.Runqueues)
	return nil
}
