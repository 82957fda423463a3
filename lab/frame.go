// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// Guest and host talk in frames over one virtio-serial port, so that the order
// of output, files and exit status is the order of their making: whoever sees
// the exit frame has seen everything before it. A frame is
//
//	kind 1 byte | length 3 bytes | CRC-32 of the payload 4 bytes | payload
//
// in big endian.
type kind byte

const (
	kindReady  kind = 'R' // guest: init is up; JSON ready
	kindBeat   kind = 'B' // guest: still alive; empty
	kindStdout kind = '1' // guest
	kindStderr kind = '2' // guest
	kindFiles  kind = 'F' // guest: a piece of the tar stream of /out
	kindFailed kind = 'X' // guest: the lab's own part failed; text
	kindExit   kind = 'E' // guest: the last frame; JSON exit
	kindStdin  kind = '0' // host; empty at the end
)

const (
	frameHeader = 8
	frameMax    = 1 << 20
	frameChunk  = 32 << 10 // payload of stream frames, about what the port moves at once
)

// ready is the payload of kindReady.
type ready struct {
	Release string `json:"release"` // uname -r
}

// exit is the payload of kindExit.
type exit struct {
	Status  int   `json:"status"`
	Files   int   `json:"files"`   // regular files in the tar stream
	Bytes   int64 `json:"bytes"`   // length of the tar stream
	Skipped int   `json:"skipped"` // what was neither file, directory nor link
}

var errFrame = errors.New("damaged frame")

// frameWriter sends frames; it may be shared by goroutines.
type frameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

func (f *frameWriter) send(k kind, payload []byte) error {
	if len(payload) > frameMax {
		return fmt.Errorf("frame %q of %d bytes is over the limit of %d", k, len(payload), frameMax)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = binary.BigEndian.AppendUint32(f.buf[:0], uint32(k)<<24|uint32(len(payload)))
	f.buf = binary.BigEndian.AppendUint32(f.buf, crc32.ChecksumIEEE(payload))
	f.buf = append(f.buf, payload...)
	if _, err := f.w.Write(f.buf); err != nil {
		return fmt.Errorf("send frame %q: %w", k, err)
	}
	return nil
}

// stream is an io.Writer that sends what is written to it as frames of one kind.
type stream struct {
	to    *frameWriter
	kind  kind
	bytes int64
}

func (s *stream) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), frameChunk)
		if err := s.to.send(s.kind, p[:n]); err != nil {
			return sent, err
		}
		sent, s.bytes, p = sent+n, s.bytes+int64(n), p[n:]
	}
	return sent, nil
}

// readFrame returns io.EOF between frames, io.ErrUnexpectedEOF within one and
// errFrame for bytes that are no frame.
func readFrame(r io.Reader) (kind, []byte, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	word := binary.BigEndian.Uint32(h[:])
	k, n := kind(word>>24), int(word&(1<<24-1))
	if n > frameMax {
		return k, nil, fmt.Errorf("%w: kind %q, %d bytes", errFrame, k, n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return k, nil, err
	}
	if sum := crc32.ChecksumIEEE(payload); sum != binary.BigEndian.Uint32(h[4:]) {
		return k, nil, fmt.Errorf("%w: kind %q, checksum %#x", errFrame, k, sum)
	}
	return k, payload, nil
}
