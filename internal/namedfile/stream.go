// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

var errAborted = errors.New("aborted")

// stream writes to what is no regular file from a goroutine of its own, which may
// block for as long as it likes: nobody waits for it longer than for ctx.
type stream struct {
	*io.PipeWriter
	ctx    context.Context
	failed func(error) error
	done   chan error
}

func (p *place) stream(ctx context.Context) *stream {
	r, w := io.Pipe()
	s := &stream{w, ctx, p.failed, make(chan error, 1)}
	stop := context.AfterFunc(ctx, func() { r.CloseWithError(p.failed(context.Cause(ctx))) })
	go func() {
		defer stop()
		err := p.copy(r)
		r.CloseWithError(err)
		s.done <- err
	}()
	return s
}

// finish waits until all is written.
func (s *stream) finish() error {
	s.Close()
	select {
	case err := <-s.done:
		if err == nil || s.ctx.Err() == nil {
			return err
		}
	case <-s.ctx.Done():
	}
	return s.failed(context.Cause(s.ctx))
}

// copy opens the device, pipe or socket and writes what comes.
func (p *place) copy(r io.Reader) error {
	defer p.close()
	f, err := p.open()
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// open opens what is no regular file, and makes nothing.
func (p *place) open() (io.WriteCloser, error) {
	if p.own != nil {
		f := p.own
		p.own = nil
		return f, nil
	}
	if p.st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		conn, err := net.Dial("unix", descriptorPath(p.dir)+"/"+p.base)
		if err != nil {
			return nil, p.failed(err)
		}
		return conn, nil
	}
	return p.openat(0)
}

// openat opens the entry, whose kind must not have changed.
func (p *place) openat(flags int) (*os.File, error) {
	var fd int
	var err error
	for {
		fd, err = unix.Openat(p.dir, p.base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC|flags, 0o666)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, p.failed(err)
	}
	f := os.NewFile(uintptr(fd), p.path)
	want := p.st.Mode
	if want == 0 {
		want = unix.S_IFREG
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != want&unix.S_IFMT {
		err = errChanged
	}
	if err != nil {
		f.Close()
		return nil, p.failed(err)
	}
	return f, nil
}
