// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

func TestFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 300)).Draw(t, "payloads")
		var wire bytes.Buffer
		w := &frameWriter{w: &wire}
		for i, p := range payloads {
			if err := w.send(kind('a'+i%26), p); err != nil {
				t.Fatal(err)
			}
		}
		whole := bytes.Clone(wire.Bytes())
		for i, p := range payloads {
			k, got, err := readFrame(&wire)
			if err != nil || k != kind('a'+i%26) || !bytes.Equal(got, p) {
				t.Fatalf("frame %d: %q %x %v, want %x", i, k, got, err, p)
			}
		}
		if _, _, err := readFrame(&wire); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
		if len(payloads) > 0 && len(payloads[0]) > 0 {
			if _, _, err := readFrame(bytes.NewReader(whole[:frameHeader+len(payloads[0])-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut short: %v", err)
			}
			whole[frameHeader] ^= 1
			if _, _, err := readFrame(bytes.NewReader(whole)); !errors.Is(err, errFrame) {
				t.Fatalf("a flipped bit: %v", err)
			}
		}
	})
}

func TestFrameLimits(t *testing.T) {
	w := &frameWriter{w: io.Discard}
	if err := w.send(kindStdout, make([]byte, frameMax+1)); err == nil {
		t.Error("an oversized frame was sent")
	}
	if _, _, err := readFrame(bytes.NewReader([]byte("1\xff\xff\xff\x00\x00\x00\x00"))); !errors.Is(err, errFrame) {
		t.Errorf("an oversized frame was read: %v", err)
	}
	var wire bytes.Buffer
	s := &stream{to: &frameWriter{w: &wire}, kind: kindFiles}
	n, err := s.Write(make([]byte, 3*frameChunk+1))
	if err != nil || n != 3*frameChunk+1 || s.bytes != int64(n) {
		t.Errorf("wrote %d, counted %d: %v", n, s.bytes, err)
	}
	if want := 3*frameChunk + 1 + 4*frameHeader; wire.Len() != want {
		t.Errorf("%d bytes on the wire, want %d", wire.Len(), want)
	}
}

func FuzzReadFrame(f *testing.F) {
	var wire bytes.Buffer
	if err := (&frameWriter{w: &wire}).send(kindExit, []byte(`{"status":0}`)); err != nil {
		f.Fatal(err)
	}
	f.Add(wire.Bytes())
	f.Add([]byte("E\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, payload, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := (&frameWriter{w: &again}).send(k, payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, again.Bytes()) {
			t.Fatalf("%x reads as %q %x, which writes as %x", b, k, payload, again.Bytes())
		}
	})
}
