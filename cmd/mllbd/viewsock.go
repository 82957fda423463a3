// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/screen"
)

const (
	newSocket  = screen.Socket + ".new" // until it may be found
	maxLookers = 8
)

// viewServer sends states, as lines of JSON, to whoever of root and mllbd's own user
// connects to the socket in the state directory. It takes no requests: who sends anything
// is cut off.
type viewServer struct {
	watcher  *watcher
	dir      *os.File
	made     bool // the directory, by this mllbd, which has no other use for it
	listener *net.UnixListener
	inode    uint64 // of the socket
	log      *slog.Logger
	done     chan struct{}

	mu      sync.Mutex
	lookers map[*looker]struct{} // nil once closed
}

// looker is one connection.
type looker struct {
	conn    *net.UnixConn
	queue   *queue
	setup   *screen.Setup // that it has
	version uint64
}

// openViewServer binds the socket. With take it replaces another mllbd's, which is dead or
// only observes; without, that of one that lives is left alone.
func openViewServer(w *watcher, stateDir string, take bool, log *slog.Logger) (_ *viewServer, err error) {
	s := &viewServer{watcher: w, log: log, done: make(chan struct{}), lookers: make(map[*looker]struct{})}
	if _, err := os.Lstat(stateDir); errors.Is(err, fs.ErrNotExist) {
		s.made = !take
	}
	if s.dir, err = openPrivate(stateDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.leave()
		}
	}()
	// Through the directory that was looked at, and however long its path is.
	path := fmt.Sprintf("/proc/self/fd/%d/", s.dir.Fd())
	if !take {
		if conn, err := net.Dial("unix", path+screen.Socket); err == nil {
			conn.Close()
			return nil, errors.New("it is another mllbd's")
		}
	}
	_ = unix.Unlinkat(s.fd(), newSocket, 0)
	if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path + newSocket, Net: "unix"}); err != nil {
		return nil, err
	}
	s.listener.SetUnlinkOnClose(false)
	var st unix.Stat_t
	err = errors.Join(unix.Fchmodat(s.fd(), newSocket, 0o600, 0), unix.Fstatat(s.fd(), newSocket, &st, unix.AT_SYMLINK_NOFOLLOW),
		unix.Renameat(s.fd(), newSocket, s.fd(), screen.Socket))
	if err != nil {
		s.listener.Close()
		_ = unix.Unlinkat(s.fd(), newSocket, 0)
		return nil, err
	}
	s.inode = st.Ino
	go s.accept()
	go s.send()
	return s, nil
}

func (s *viewServer) fd() int { return int(s.dir.Fd()) }

// openPrivate opens a directory that nobody else may write to, and makes it if need be.
func openPrivate(name string) (*os.File, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || info.Mode()&0o022 != 0 {
			err = &fs.PathError{Op: "open", Path: name, Err: errors.New("others may write to it")}
		}
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

func (s *viewServer) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors, say
			s.log.Warn("a connection for mllb top failed", "err", err)
			time.Sleep(time.Second)
			continue
		}
		uid, err := screen.Peer(conn)
		if err != nil || uid != 0 && int(uid) != os.Geteuid() {
			s.log.Warn("a connection for mllb top is refused", "uid", uid, "err", err)
			conn.Close()
			continue
		}
		s.add(conn)
	}
}

func (s *viewServer) add(conn *net.UnixConn) {
	l := &looker{conn: conn, queue: newQueue(conn, queueLimit)}
	l.queue.onError = func(error) { s.remove(l) }
	s.mu.Lock()
	full := len(s.lookers) >= maxLookers || s.lookers == nil
	if !full {
		s.lookers[l] = struct{}{}
		s.watcher.lookers.Add(1)
	}
	s.mu.Unlock()
	if full {
		l.close()
		return
	}
	go func() {
		_, _ = conn.Read([]byte{0})
		s.remove(l)
	}()
	s.watcher.wake()
}

func (s *viewServer) remove(l *looker) {
	s.mu.Lock()
	_, here := s.lookers[l]
	delete(s.lookers, l)
	s.mu.Unlock()
	if here {
		s.watcher.lookers.Add(-1)
		l.close()
	}
}

func (l *looker) close() {
	l.conn.Close()
	_ = l.queue.close(time.Now()) // what it writes fails now
}

// send tells all lookers what is new, when there is.
func (s *viewServer) send() {
	for {
		select {
		case <-s.watcher.wakeup:
		case <-s.done:
			return
		}
		s.mu.Lock()
		var all []*looker
		for l := range s.lookers {
			all = append(all, l)
		}
		s.mu.Unlock()
		for _, l := range all {
			if err := l.tell(s.watcher); err != nil { // it reads nothing: it may come again
				s.log.Debug("mllb top is cut off", "err", err)
				s.remove(l)
			}
		}
	}
}

func (l *looker) tell(w *watcher) error {
	var st screen.State
	st, l.setup, l.version = w.look(l.setup, l.version)
	line, err := json.Marshal(&st)
	if err != nil {
		return err
	}
	_, err = l.queue.Write(append(line, '\n'))
	return err
}

// close ends all connections and removes the socket, unless another mllbd has taken its name.
func (s *viewServer) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	all := s.lookers
	s.lookers = nil
	s.mu.Unlock()
	if all == nil {
		return
	}
	close(s.done)
	_ = s.listener.Close()
	for l := range all {
		s.watcher.lookers.Add(-1)
		l.close()
	}
	var st unix.Stat_t
	if err := unix.Fstatat(s.fd(), screen.Socket, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Ino == s.inode {
		_ = unix.Unlinkat(s.fd(), screen.Socket, 0)
	}
	s.leave()
}

// leave closes the directory, and removes it if it is empty and nobody else's.
func (s *viewServer) leave() {
	if s.made {
		_ = unix.Rmdir(s.dir.Name())
	}
	s.dir.Close()
}
