// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Drawable says whether a file is a terminal that knows control sequences.
func Drawable(f *os.File) bool {
	kind := os.Getenv("TERM")
	return kind != "" && kind != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Stdout is standard output. It keeps the first error, for what prints and does not
// look: help, a version, a line of many.
type Stdout struct {
	to  io.Writer
	mu  sync.Mutex
	err error
}

// NewStdout is for os.Stdout, and for what stands for it in tests.
func NewStdout(to io.Writer) *Stdout { return &Stdout{to: to} }

// Write implements io.Writer.
func (s *Stdout) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = err
		}
	}
	return n, err
}

// Fd is that of the file, if it is one: it may be a terminal.
func (s *Stdout) Fd() uintptr {
	if f, ok := s.to.(*os.File); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// Err says that something is not written.
func (s *Stdout) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
