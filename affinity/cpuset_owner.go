// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownerFiles are those of a v1 cpuset from which the kernel takes nothing that a
// child still has: the owner's write is EBUSY (validate_change_legacy,
// kernel/cgroup/cpuset-v1.c, 6.12).
var ownerFiles = []string{"cpuset.cpus", "cpuset.mems"}

// ownerPause is for how long nothing is held after the owner opened one.
const ownerPause = time.Second

// ownerWatch lets the owner of a v1 cpuset change it while mllb has groups in it.
// Whoever opens one of the files waits (fanotify(7), FAN_OPEN_PERM) until the
// groups are gone. If mllbd ends, the kernel lets them go on.
type ownerWatch struct {
	file   *os.File
	dir    string
	yield  func()
	opened chan int32 // files of others that wait
	log    *slog.Logger
}

// watchOwner calls yield when another process opens a file of the owner's.
func watchOwner(dir string, yield func(), log *slog.Logger) (*ownerWatch, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch the owner of %s: %w", dir, err)
	}
	w := &ownerWatch{file: os.NewFile(uintptr(fd), "fanotify"), dir: dir, yield: yield, opened: make(chan int32, 256), log: log}
	if err := w.mark(); err != nil {
		w.file.Close()
		return nil, err
	}
	go w.read()
	go w.serve()
	return w, nil
}

// mark adds the files, again where the cgroup was made anew.
func (w *ownerWatch) mark() error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	for _, name := range ownerFiles {
		path := filepath.Join(w.dir, name)
		var failed error
		err := conn.Control(func(fd uintptr) {
			failed = unix.FanotifyMark(int(fd), unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, path)
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", path, err)
		}
	}
	return nil
}

// read lets mllbd itself go on at once, which may hold what yield waits for.
func (w *ownerWatch) read() {
	defer close(w.opened)
	const size = int(unsafe.Sizeof(unix.FanotifyEventMetadata{}))
	buf := make([]byte, 64*size)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return // closed
		}
		for b := buf[:n]; len(b) >= size; b = b[binary.NativeEndian.Uint32(b):] {
			fd := int32(binary.NativeEndian.Uint32(b[unsafe.Offsetof(unix.FanotifyEventMetadata{}.Fd):]))
			pid := int32(binary.NativeEndian.Uint32(b[unsafe.Offsetof(unix.FanotifyEventMetadata{}.Pid):]))
			if fd < 0 {
				continue // the queue ran over: whom it was about goes on
			}
			if int(pid) == os.Getpid() {
				w.allow(fd)
				continue
			}
			select {
			case w.opened <- fd:
			default:
				w.allow(fd)
			}
		}
	}
}

func (w *ownerWatch) serve() {
	for fd := range w.opened {
		w.yield()
		w.allow(fd)
	}
}

func (w *ownerWatch) allow(fd int32) {
	b := binary.NativeEndian.AppendUint32(nil, uint32(fd))
	b = binary.NativeEndian.AppendUint32(b, unix.FAN_ALLOW)
	if _, err := w.file.Write(b); err != nil {
		w.log.Debug("the owner of the cpuset goes on as the watch ends", "err", err)
	}
	unix.Close(int(fd))
}

func (w *ownerWatch) close() { w.file.Close() }

// followOwner makes way for the owner of a v1 cpuset.
func (e *Enforcer) followOwner() {
	c, ok := e.mech.(*cpusets)
	if !ok {
		return
	}
	if _, v1 := c.hierarchy.(*legacy); !v1 {
		return // v2 gives a child what its parent has
	}
	var err error
	if c.owner, err = watchOwner(c.dir, e.makeWay, e.log); err != nil {
		e.log.Warn("while threads are held the owner cannot take CPUs from its cpuset", "err", err)
	}
}

// makeWay gives all threads back and removes the groups.
func (e *Enforcer) makeWay() {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.mech.(*cpusets)
	if !ok || e.closed {
		return
	}
	c.pause = time.Now().Add(ownerPause)
	if len(c.groups) == 0 {
		return
	}
	e.log.Info("a process opens the cpuset: threads are given back for a moment", "cgroup", c.dir)
	for _, n := range e.known {
		if n.state.holds() {
			if o, err := e.release(n); o == failed {
				e.fail("a thread stays in its cpuset", n.TID, err)
			}
		}
	}
	if err := e.flush(); err != nil {
		e.log.Warn("threads that were released stay in the journal", "err", err)
	}
	if err := c.close(); err != nil {
		e.log.Warn("the owner may be refused", "err", err)
	}
}
