// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// outcome is the end of the frames.
type outcome struct {
	end   exit
	files int
	err   error
}

// receive handles frames up to the last one.
func (s *session) receive(r io.Reader) outcome {
	files, wait := s.unpack()
	var out outcome
	for done := false; !done && out.err == nil; {
		var k kind
		var payload []byte
		if k, payload, out.err = readFrame(r); out.err != nil {
			break
		}
		s.last.Store(int64(time.Since(s.started)))
		s.busy.Store(true)
		done, out.err = s.handle(k, payload, files, &out.end)
		s.busy.Store(false)
	}
	files.CloseWithError(out.err) // nil: the end of the tar stream
	var err error
	out.files, err = wait()
	if out.err == nil && err != nil {
		out.err = fmt.Errorf("bring files back to %s: %w", s.cfg.OutDir, err)
	}
	if out.err == nil && s.cfg.OutDir != "" && out.files != out.end.Files {
		out.err = fmt.Errorf("bring files back to %s: %d of %d arrived", s.cfg.OutDir, out.files, out.end.Files)
	}
	return out
}

func (s *session) handle(k kind, payload []byte, files io.Writer, end *exit) (done bool, err error) {
	switch k {
	case kindReady:
		var hello ready
		if err := json.Unmarshal(payload, &hello); err != nil {
			return false, fmt.Errorf("the guest's greeting: %w", err)
		}
		s.bootIn.Store(int64(time.Since(s.started)))
		s.release.Store(&hello.Release)
		s.greet.Do(func() { close(s.up) })
	case kindBeat:
	case kindStdout:
		_, err = s.cfg.Stdout.Write(payload)
	case kindStderr:
		_, err = s.cfg.Stderr.Write(payload)
	case kindFiles:
		_, err = files.Write(payload)
	case kindFailed:
		return false, fmt.Errorf("the guest's init: %s", printable(payload))
	case kindExit:
		return true, json.Unmarshal(payload, end)
	default:
		return false, fmt.Errorf("%w: kind %q", errFrame, k)
	}
	return false, err
}

// unpack starts the tar reader; wait returns when it has read to the end. A
// guest that was not asked for files sends none.
func (s *session) unpack() (*io.PipeWriter, func() (int, error)) {
	r, w := io.Pipe()
	if s.cfg.OutDir == "" {
		r.CloseWithError(errors.New("unexpected files"))
		return w, func() (int, error) { return 0, nil }
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := readTar(r, s.cfg.OutDir)
		r.CloseWithError(err)
		done <- result{n, err}
	}()
	return w, func() (int, error) { got := <-done; return got.n, got.err }
}

// forward sends the caller's input as frames, an empty one at its end.
func forward(from io.Reader, to *frameWriter) {
	// Errors mean that the guest is gone, which await knows.
	_, _ = io.CopyBuffer(&stream{to: to, kind: kindStdin}, from, make([]byte, 4096))
	_ = to.send(kindStdin, nil)
}
