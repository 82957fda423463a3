// SPDX-License-Identifier: Apache-2.0

// Package procfs reads host snapshots from /proc, /sys and
// /sys/kernel/debug/sched: the backend of the ladder that every kernel has.
//
// The runqueues are read first and the threads after them, one by one, so a
// snapshot is spread over as long as that takes (BenchmarkSnapshot) and is not
// atomic, as that of the eBPF backend is not. What this backend cannot see:
//
//   - Thread.MigrationDisabled, whether migration is disabled, is in no file: always false.
//   - Thread.Running is taken from the pid that each runqueue block names as its
//     current task, if that thread is still there and in state R.
//   - Runqueue.NrPreferredRunning and NrNUMARunning are in no file: counted from
//     the threads as account_numa_enqueue does (kernel/sched/fair.c, 6.12).
//   - A thread's NUMA faults are in its sched file, as the totals of both kinds
//     by node; a numa_faults array of nothing but zeros cannot be told from none.
package procfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/cgroup"
	"mllb/internal/procfile"
	"mllb/topology"
)

// Options say where a Reader reads.
type Options struct {
	Root      string // holds proc and sys: "/", which is also what "" means, or a fixture
	Hierarchy int    // of features.Thread.Cgroup: 0 for v2, else the first field of /proc/PID/cgroup
}

// Reader reads snapshots. It is not safe for concurrent use.
type Reader struct {
	root      string // without a trailing slash
	hierarchy int
	mounts    []cgroup.Mount
	noCgroups error
	noSched   error
	possible  int // CPUs, by the greatest id; 0 if that is not known

	// Of the latest snapshot; the memory is reused by the next.
	buf        []byte
	blocks     []block
	online     topology.CPUSet
	onlineText string
	node       []int // by CPU
	noNodes    error
	inodes     map[string]uint64
	mask       topology.CPUSet
	stat       procfile.Stat
	sched      sched
	noLoad     error
	execStart  []uint64 // by index of Snapshot.Threads
	curr       []int32  // by CPU: the thread that runs there
	missing    []string

	errors, vanished uint64
	lastError        error
}

// Open returns a Reader. The error says that there is no /proc to read.
func Open(opt Options) (*Reader, error) {
	root := filepath.Clean("/" + opt.Root)
	if opt.Root != "" && !filepath.IsAbs(opt.Root) {
		var err error
		if root, err = filepath.Abs(opt.Root); err != nil {
			return nil, fmt.Errorf("open /proc: %w", err)
		}
	}
	if root == "/" {
		root = ""
	}
	if _, err := procfile.IDs(root + "/proc"); err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	r := &Reader{root: root, inodes: make(map[string]uint64)}
	r.findMounts(opt.Hierarchy)
	r.possible = r.readPossible()
	var st unix.Stat_t
	if err := unix.Stat(root+"/proc/self/sched", &st); err != nil {
		r.noSched = fmt.Errorf("%s/proc/self/sched: %w", root, err)
	}
	return r, nil
}

// Snapshot fills s with the host's state now. Threads that end meanwhile are
// left out. A thread whose files make no sense is left out too and counted by
// Errors, so that one cannot blind the daemon; the error is for a host without
// a single thread that can be read.
func (r *Reader) Snapshot(s *features.Snapshot) error {
	s.Reset()
	r.missing, r.noLoad = r.missing[:0], nil
	clear(r.inodes)
	if err := s.Stamp(); err != nil {
		return err
	}
	if r.noSched != nil {
		r.miss("the load of threads", "0", r.noSched)
	}
	if r.noCgroups != nil {
		r.miss("the cgroup of threads", "0", r.noCgroups)
	}
	r.readHost(s)
	if err := r.readThreads(s); err != nil {
		return err
	}
	if r.noLoad != nil {
		r.miss("the load of threads", "0", r.noLoad)
	}
	r.fillRunqueues(s)
	return nil
}

// Missing says what the latest snapshot had to do without, one line each:
// "the runqueues: counted from the threads (open ...: no such file or directory)".
func (r *Reader) Missing() []string { return append([]string(nil), r.missing...) }

// Errors returns how many files so far could not be read or parsed, apart from
// those that a vanishing thread explains.
func (r *Reader) Errors() uint64 { return r.errors }

// LastError returns the latest of what Errors counts, or nil. It names the file
// and the line.
func (r *Reader) LastError() error { return r.lastError }

// Vanished returns how many threads so far ended while they were being read.
func (r *Reader) Vanished() uint64 { return r.vanished }

func (r *Reader) fail(err error) {
	r.errors++
	r.lastError = err
}

func (r *Reader) miss(what, instead string, err error) {
	r.missing = append(r.missing, fmt.Sprintf("%s: %s (%v)", what, instead, err))
}

// readThreads appends every thread that can be read.
func (r *Reader) readThreads(s *features.Snapshot) error {
	pids, err := procfile.IDs(r.root + "/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	r.execStart = r.execStart[:0]
	for _, pid := range pids {
		r.readProcess(s, pid)
	}
	if len(s.Threads) == 0 {
		return fmt.Errorf("read %s/proc: %w", r.root, errors.Join(errNoThread, r.lastError))
	}
	return nil
}

var errNoThread = errors.New("no thread can be read")

func (r *Reader) readProcess(s *features.Snapshot, pid int) {
	tids, err := procfile.IDs(r.root + "/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		r.thread(fmt.Errorf("list threads of process %d: %w", pid, err))
		return
	}
	for _, tid := range tids {
		r.thread(r.readThread(s, pid, tid))
	}
}

// thread books the outcome of reading one thread or one process.
func (r *Reader) thread(err error) {
	switch {
	case err == nil:
	case vanished(err):
		r.vanished++
	default:
		r.fail(err)
	}
}
