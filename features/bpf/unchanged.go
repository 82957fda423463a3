// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"mllb/features"
)

// objects are what a snapshot cannot do without.
type objects struct {
	threadsMaps
	Threads *ebpf.Program `ebpf:"threads"`
}

// loadRecount loads the program that counts without looking at threads. A kernel
// that refuses it can still take snapshots, so it is loaded apart from them.
func loadRecount(spec *ebpf.CollectionSpec, runqueues *ebpf.Map) (*ebpf.Program, error) {
	var objs struct {
		Recount *ebpf.Program `ebpf:"recount"`
	}
	err := spec.LoadAndAssign(&objs, withTypes(ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{threadsMapRunqueues: runqueues},
	}))
	if err != nil {
		return nil, fmt.Errorf("ebpf recount: %w", explain(err))
	}
	return objs.Recount, nil
}

// UnchangedError says why Unchanged always says no; nil means that it works.
func (r *Reader) UnchangedError() error { return r.recountErr }

// Unchanged reports whether every CPU has as many runnable threads now as in s,
// which must be what the last Snapshot filled, and whether the same CPUs are
// online. The thread that asks is left out of both counts. It costs some
// microseconds, however many threads there are, and allocates nothing. It does
// not see that one thread took another's place; and if anything is in doubt, or
// UnchangedError is not nil, it says no.
func (r *Reader) Unchanged(s *features.Snapshot) (bool, error) {
	if r.iter == nil {
		return false, fmt.Errorf("ebpf recount: %w", os.ErrClosed)
	}
	if r.recount == nil || r.last == 0 || s.Time != r.last {
		return false, nil
	}
	if err := runProgram(r.recount.FD()); err != nil {
		return false, fmt.Errorf("ebpf recount: %w", err)
	}
	if _, err := r.queues.ReadAt(r.rqs, 0); err != nil {
		return false, fmt.Errorf("read the runqueue map: %w", err)
	}
	return unchanged(r.rqs), nil
}

// runProgram is bpf(2) with BPF_PROG_RUN, on the CPU that calls it;
// ebpf.Program.Run would allocate.
func runProgram(fd int) error {
	// union bpf_attr, test (include/uapi/linux/bpf.h, 6.1)
	attr := struct {
		fd, retval, dataIn, dataOut     uint32
		data                            [2]uint64
		repeat, duration, ctxIn, ctxOut uint32
		ctx                             [2]uint64
		flags, cpu, batch, pad          uint32
	}{fd: uint32(fd)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return fmt.Errorf("run program: %w", errno)
	}
	return nil
}
