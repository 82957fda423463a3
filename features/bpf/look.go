// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/topology"
)

// Look fills s with one thread as it is now, or with none if it has ended. It
// writes only Threads, Masks and Faults.
func (r *Reader) Look(tid int32, s *features.Snapshot) error {
	if r.iter == nil {
		return fmt.Errorf("look at thread %d: %w", tid, os.ErrClosed)
	}
	s.Reset()
	s.Asked = true
	if err := r.number(); err != nil {
		return fmt.Errorf("look at thread %d: %w", tid, err)
	}
	link, err := iterLink(r.objs.Threads.FD(), tid)
	if err != nil {
		return fmt.Errorf("look at thread %d: %w", tid, err)
	}
	defer unix.Close(link)
	if err := r.iterate(link, s); err != nil {
		return fmt.Errorf("look at thread %d: %w", tid, err)
	}
	return nil
}

// iterLink is bpf(2) with BPF_LINK_CREATE for an iterator over one thread: since
// 6.1 (f0d74c4da1f0), with the tid of any thread since 6.12 and stable kernels
// of that time (9495a5b731fc).
func iterLink(program int, tid int32) (int, error) {
	info := struct{ tid, pid, pidFD uint32 }{tid: uint32(tid)} // bpf_iter_link_info.task
	attr := struct {
		program, target, kind, flags uint32
		info                         uint64
		size, _                      uint32
	}{program: uint32(program), kind: unix.BPF_TRACE_ITER, info: uint64(uintptr(unsafe.Pointer(&info))), size: uint32(unsafe.Sizeof(info))}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&info)
	if errno != 0 {
		return -1, fmt.Errorf("attach an iterator to one thread: %w", errno)
	}
	return int(fd), nil
}

// OpenLook opens a Reader on which Look and Thread.Asked can be relied.
func OpenLook(opt Options) (*Reader, error) {
	r, err := Open(opt)
	if err != nil {
		return nil, err
	}
	if err := r.CheckAsked(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// CheckAsked says why Thread.Asked cannot be relied on here: it asks for a CPU
// that does not exist, for a thread of this process beside those that it may
// use anyway, and looks.
func (r *Reader) CheckAsked() error {
	done := make(chan error)
	go r.tryAsked(done)
	return <-done
}

// tryAsked never unlocks its thread, which therefore ends with the goroutine.
func (r *Reader) tryAsked(done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // the main thread does not end; and any thread must do, not only leaders
		r.tryOther(done)
		return
	}
	done <- r.checkAsked(int32(unix.Gettid()))
}

// tryOther keeps the main thread while another one is tried.
func (r *Reader) tryOther(done chan<- error) {
	defer runtime.UnlockOSThread()
	other := make(chan error)
	go r.tryAsked(other)
	done <- <-other
}

func (r *Reader) checkAsked(tid int32) error {
	spare := topology.Spare(r.decoder.cpus)
	if spare.Empty() {
		return fmt.Errorf("all bits of a mask are CPUs: %d are possible", r.decoder.cpus)
	}
	var s features.Snapshot
	if err := r.Look(tid, &s); err != nil {
		return err
	}
	if len(s.Threads) != 1 || s.Threads[0].TID != tid {
		return fmt.Errorf("the kernel shows single threads only if they lead their process (9495a5b731fc, 6.12, mends that)")
	}
	want := s.Masks[s.Threads[0].Allowed].Clone()
	for cpu := range spare.All() {
		want.Add(cpu)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(8*len(want)), uintptr(unsafe.Pointer(&want[0]))); errno != 0 {
		return fmt.Errorf("ask for a CPU that does not exist: %w", errno)
	}
	if err := r.Look(tid, &s); err != nil {
		return err
	}
	if len(s.Threads) != 1 || s.Threads[0].Asked < 0 || !s.Masks[s.Threads[0].Asked].Equal(want) {
		return fmt.Errorf("the kernel does not keep masks as they were asked for (user_cpus_ptr, 6.2)")
	}
	return nil
}
