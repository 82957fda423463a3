// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"mllb/internal/procfile"

	"golang.org/x/sys/unix"
)

// readAt reads a file below the open directory dir (or unix.AT_FDCWD) into
// buf, which it grows and returns with what it read. Threads are read through
// a descriptor of their directory: one path walk instead of four, and a thread
// id that is reused in between gives ESRCH instead of another thread's values.
func readAt(dir int, name string, buf []byte) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return buf[:0], &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(4096, cap(buf)))...)[:len(buf)]
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return buf[:0], &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return buf, nil
		default:
			buf = buf[:len(buf)+n]
		}
	}
}

// vanished tells a thread that ended while it was being read.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// file reads the file at path, below the root, into the reader's buffer.
func (r *Reader) file(path string) ([]byte, error) {
	b, err := readAt(unix.AT_FDCWD, r.root+path, r.buf)
	r.buf = b
	return b, err
}

// number reads a file that holds one unsigned number.
func (r *Reader) number(path string) (uint64, error) {
	b, err := r.file(path)
	if err != nil {
		return 0, err
	}
	v, err := procfile.Uint(bytes.TrimSpace(b), 64)
	if err != nil {
		return 0, fmt.Errorf("%s%s: line 1: %w", r.root, path, err)
	}
	return v, nil
}
