// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens an input. A FIFO without a writer does not block it, since it has to be
// a regular file.
func Open(path string) (*os.File, error) { return OpenRegular(path, os.O_RDONLY) }

// OpenRegular is os.OpenFile of what is a regular file, or becomes one by O_CREATE.
func OpenRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o666)
	if err != nil {
		if errors.Is(err, unix.ENXIO) { // a FIFO without a reader, or a socket
			err = &fs.PathError{Op: "open", Path: path, Err: errRegular}
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads an input.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Log opens an output that is to be seen while it grows. A regular file is written
// in place: flag says whether at its end (os.O_APPEND) or anew (os.O_TRUNC).
func Log(path string, flag int) (io.WriteCloser, error) {
	p, err := find(path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if p.plain() {
		return p.openat(unix.O_CREAT | unix.O_NONBLOCK | flag)
	}
	return p.open()
}
