// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// plumbing is a command's standard files and the copiers behind them.
type plumbing struct {
	child  [3]*os.File // closed by init when the command has them
	stdin  io.WriteCloser
	attr   *syscall.SysProcAttr
	copies sync.WaitGroup
}

func (p *plumbing) copy(from *os.File, to io.Writer) {
	p.copies.Go(func() {
		// A pty's master answers EIO when the last slave is closed; a failed
		// send means that the host is gone. Either way it is over.
		_, _ = io.CopyBuffer(to, from, make([]byte, frameChunk))
	})
}

// pipes keeps stdout and stderr apart. Without stdin frames, stdin is /dev/null.
func pipes(conf guestConfig, frames *frameWriter) (*plumbing, error) {
	p := &plumbing{attr: &syscall.SysProcAttr{Setsid: true}}
	for i, k := range []kind{kindStdout, kindStderr} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("pipe: %w", err)
		}
		p.child[i+1] = w
		p.copy(r, &stream{to: frames, kind: k})
	}
	var err error
	if !conf.Stdin {
		p.child[0], err = os.Open(os.DevNull)
		return p, err
	}
	p.child[0], p.stdin, err = pipe()
	return p, err
}

func pipe() (*os.File, io.WriteCloser, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return r, w, nil
}

// ptyInput is a terminal's keyboard: its end is Ctrl-D. Closing the master
// would hang up on the command.
type ptyInput struct{ *os.File }

func (p ptyInput) Close() error {
	_, err := p.Write([]byte{4})
	return err
}

// terminal gives the command a pseudo-terminal of the host terminal's size.
func terminal(conf guestConfig, frames *frameWriter) (*plumbing, error) {
	master, err := os.OpenFile("/dev/pts/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the pty: %w", err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("number of the pty: %w", err)
	}
	size := unix.Winsize{Row: conf.Rows, Col: conf.Cols}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size); err != nil {
		return nil, fmt.Errorf("size of the pty: %w", err)
	}
	p := &plumbing{stdin: ptyInput{master}, attr: &syscall.SysProcAttr{Setsid: true, Setctty: true}}
	for i := range p.child {
		if p.child[i], err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			return nil, err
		}
	}
	p.copy(master, &stream{to: frames, kind: kindStdout})
	return p, nil
}
