// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/cgroup"
	"mllb/internal/procfile"
	"mllb/topology"
)

// Task is what the kernel says of one thread now.
type Task struct {
	features.ID
	TGID, PPID, Session int32
	State               byte            // as in proc_pid_stat(5): R S D ...
	Ran                 uint64          // CPU time, clock ticks
	Flags               uint32          // PF_*
	Threads             int32           // of its process
	NSInit              bool            // it is pid 1 of a pid namespace that is not the host's
	Mask                topology.CPUSet // task.cpus_mask

	// Of Marks: what it asked for, and the mark in that.
	Asked  topology.CPUSet
	Marked bool
	Sum    uint64
}

// flagExiting is PF_EXITING (include/linux/sched.h): the thread, perhaps a
// zombie that nobody reaps, never runs again and has no more children.
const flagExiting = 0x00000004

// Sys is the kernel as an enforcer sees it.
type Sys interface {
	// Now returns the boot time in clock ticks, in which Task.Start is given.
	Now() (uint64, error)
	// Task reads a thread. The error is ErrGone if there is none.
	Task(tgid, tid int32) (Task, error)
	// Threads calls yield for every thread of the host that may have one of
	// the masks, until it returns false.
	Threads(masks []topology.CPUSet, yield func(tgid, tid int32) bool) error
	// SetAffinity sets the mask of a thread. The error is ErrGone if there is
	// none, EINVAL if no CPU of the mask is online and in its cpuset.
	SetAffinity(tid int32, mask topology.CPUSet) error
	// Beside moves the calling OS thread to a CPU, if it may run there.
	Beside(cpu int32)
	// Watch returns a function that reports whether the thread that had the id
	// when Watch was called still lives, and one that ends the watch. The
	// error is ErrGone if there is no such thread.
	Watch(tid int32) (alive func() bool, done func(), err error)
	// Possible returns the CPUs that are or may come online.
	Possible() topology.CPUSet
	// Online returns the CPUs that are online.
	Online() (topology.CPUSet, error)
	// Widest returns the mask that the kernel gives the thread if it asks for
	// every CPU: its cpuset's, or in the root cpuset all that are possible.
	Widest(tgid, tid int32) (topology.CPUSet, error)
	// InCgroup reports whether the thread is in the cgroup with this inode, in
	// whatever hierarchy.
	InCgroup(tgid, tid int32, inode uint64) (bool, error)
}

// linux is the running kernel, with /proc and /sys at root.
type linux struct {
	root string
	buf  []byte

	possible topology.CPUSet
	mounts   []cgroup.Mount

	// No PIDFD_THREAD (before 6.9): a watch then needs the thread to lead.
	leadersOnly bool
}

func newLinux(root string) (*linux, error) {
	l := &linux{root: root, buf: make([]byte, 8192)}
	// In another pid namespace's /proc the ids are not those that system calls take.
	self, err := os.Readlink(filepath.Join(root, "proc/self"))
	if root == "/" && (err != nil || self != strconv.Itoa(os.Getpid())) {
		return nil, fmt.Errorf("/proc is of another pid namespace than mllbd: mount it there, as unshare --mount-proc does (process %d, /proc/self is %q)", os.Getpid(), self)
	}
	if l.possible, err = l.list("sys/devices/system/cpu/possible"); err != nil {
		return nil, err
	}
	if l.mounts, err = cgroup.Mounts(root); err != nil {
		return nil, err
	}
	return l, nil
}

// pidfdThread is PIDFD_THREAD (include/uapi/linux/pidfd.h, 6.9).
const pidfdThread = unix.O_EXCL

// Now reads the clock of start_boottime; USER_HZ is 100 on every architecture
// that Go runs on.
func (l *linux) Now() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read the boot time: %w", err)
	}
	return uint64(ts.Sec)*100 + uint64(ts.Nsec)/1e7, nil
}

// Task reads status before stat: where the id is reused in between, the start
// time is the later thread's and never vouches for the earlier one's mask.
func (l *linux) Task(tgid, tid int32) (Task, error) {
	dir := filepath.Join(l.root, "proc", strconv.Itoa(int(tgid)), "task", strconv.Itoa(int(tid)))
	var t Task
	for _, f := range []struct {
		name  string
		parse func(*Task, []byte) error
	}{{"status", parseStatus}, {"stat", parseStat}} {
		text, err := l.read(dir + "/" + f.name)
		if err == nil {
			err = f.parse(&t, text)
		}
		if err != nil {
			return Task{}, fmt.Errorf("read %s/%s: %w", dir, f.name, l.gone(tid, err))
		}
	}
	if t.TID != tid || t.TGID != tgid {
		return Task{}, fmt.Errorf("read %s: it is thread %d of process %d: %w", dir, t.TID, t.TGID, ErrGone)
	}
	return t, nil
}

// gone turns what the kernel says of the files of a thread that has ended into
// ErrGone. A thread that /proc hides has no files either.
func (l *linux) gone(tid int32, err error) error {
	if errors.Is(err, unix.ENOENT) && l.hides(tid) {
		return errHidden
	}
	return gone(err)
}

var errHidden = fmt.Errorf("the thread lives but is not shown (hidepid= of proc(5), CAP_SYS_PTRACE): %w", unix.EACCES)

// hides reports whether /proc lacks a thread that there is.
func (l *linux) hides(tid int32) bool {
	if l.root != "/" || tid <= 0 { // 0 is who is in no pid namespace that /proc shows, and to system calls the caller
		return false
	}
	lives := func() bool {
		_, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(tid), 0, 0)
		return errno == 0
	}
	return lives() && errors.Is(unix.Access("/proc/"+strconv.Itoa(int(tid)), unix.F_OK), unix.ENOENT) && lives()
}

// read returns a small file in a buffer that the next call reuses. A file of
// /proc is read whole or not at all by one read(2) of the right size.
func (l *linux) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; ; {
		if n == len(l.buf) {
			l.buf = append(l.buf, make([]byte, n)...)
		}
		m, err := unix.Read(fd, l.buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return l.buf[:n], nil
		}
		n += m
	}
}

// gone turns what the kernel says of a thread that has ended into ErrGone: its
// directory is missing (ENOENT), or was open as it ended (ESRCH).
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// Threads leaves out what sched_getaffinity(2) says is of no interest: 0.3 us
// a thread instead of 20 us for reading two files. That mask lacks the CPUs
// that are not active (kernel/sched/syscalls.c, 6.12), so the wanted masks are
// compared as subsets.
func (l *linux) Threads(masks []topology.CPUSet, yield func(tgid, tid int32) bool) error {
	proc := filepath.Join(l.root, "proc")
	processes, err := procfile.IDs(proc)
	if err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	got := make(topology.CPUSet, topology.MaxCPUs/64)
	for _, tgid := range processes {
		threads, err := procfile.IDs(filepath.Join(proc, strconv.Itoa(tgid), "task"))
		if errors.Is(gone(err), ErrGone) {
			continue
		}
		if errors.Is(err, fs.ErrPermission) { // hidepid=1
			threads, err = []int{tgid}, nil
		}
		if err != nil {
			return fmt.Errorf("list the threads of process %d: %w", tgid, err)
		}
		for _, tid := range threads {
			if l.maybe(tid, masks, got) && !yield(int32(tgid), int32(tid)) {
				return nil
			}
		}
	}
	return nil
}

func (l *linux) maybe(tid int, masks []topology.CPUSet, got topology.CPUSet) bool {
	clear(got)
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(tid),
		uintptr(len(got)*8), uintptr(unsafe.Pointer(&got[0])))
	if errno != 0 {
		return errno != unix.ESRCH
	}
	for _, m := range masks {
		if got.SubsetOf(m) {
			return true
		}
	}
	return false
}

// SetAffinity is not unix.SchedSetaffinity, which knows 1,024 CPUs only.
func (l *linux) SetAffinity(tid int32, mask topology.CPUSet) error {
	if tid <= 1 || mask.Empty() {
		return fmt.Errorf("set the mask of thread %d to {%s}: %w", tid, mask, unix.EINVAL)
	}
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid),
		uintptr(len(mask)*8), uintptr(unsafe.Pointer(&mask[0])))
	if errno != 0 {
		return fmt.Errorf("set the mask of thread %d to {%s}: %w", tid, mask.And(l.possible), gone(errno))
	}
	return nil
}

// Beside has no error: where it does nothing the thread runs where it was.
func (l *linux) Beside(cpu int32) {
	if cpu < 0 {
		return
	}
	mask := topology.NewCPUSet(int(cpu))
	_, _, _ = unix.Syscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(mask)*8), uintptr(unsafe.Pointer(&mask[0])))
}

// Watch opens a pidfd. Before 6.9 there is none of a thread that does not lead
// its process, and only its start time guards against a reused id.
func (l *linux) Watch(tid int32) (alive func() bool, done func(), err error) {
	fd, errno := -1, unix.EINVAL
	if !l.leadersOnly {
		fd, errno = pidfd(tid, pidfdThread)
	}
	if errno == unix.EINVAL {
		l.leadersOnly = true
		fd, errno = pidfd(tid, 0)
		if errno == unix.EINVAL { // not a leader
			return func() bool { return true }, func() {}, nil
		}
	}
	if errno != 0 {
		return nil, nil, fmt.Errorf("watch thread %d: %w", tid, gone(errno))
	}
	alive = func() bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err != nil || n == 0 // it becomes readable when the thread ends
	}
	return alive, func() { unix.Close(fd) }, nil
}

func pidfd(tid int32, flags int) (int, unix.Errno) {
	fd, _, errno := unix.Syscall(unix.SYS_PIDFD_OPEN, uintptr(tid), uintptr(flags), 0)
	return int(fd), errno
}

// Possible never changes.
func (l *linux) Possible() topology.CPUSet { return l.possible }

// Online reads the CPUs that are online.
func (l *linux) Online() (topology.CPUSet, error) {
	return l.list("sys/devices/system/cpu/online")
}

func (l *linux) list(path string) (topology.CPUSet, error) {
	path = filepath.Join(l.root, path)
	text, err := l.read(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	set, err := topology.ParseCPUList(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return set, nil
}
