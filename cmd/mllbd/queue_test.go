// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gate is an output whose reader stops until it is opened.
type gate struct {
	bytes.Buffer
	entered, open chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 16), open: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	g.entered <- struct{}{}
	<-g.open
	return g.Buffer.Write(b)
}

// TestQueueOfStalledOutput: nothing waits for a reader that stopped, what does not
// fit is counted, and the rest arrives once it goes on.
func TestQueueOfStalledOutput(t *testing.T) {
	g := newGate()
	q := newQueue(g, 20)
	_, _ = io.WriteString(q, "first\n")
	<-g.entered
	for range 10 {
		_, _ = io.WriteString(q, "0123456\n") // two fit
	}
	if n := q.dropped.Load(); n != 8 {
		t.Errorf("%d records dropped, want 8", n)
	}
	if err := q.close(time.Now()); err == nil || !strings.Contains(err.Error(), "3 were not written") {
		t.Errorf("closed with 3 records unread: %v", err)
	}
	if n := q.dropped.Load(); n != 8+3 {
		t.Errorf("%d records dropped, want 11", n)
	}
	close(g.open)
	<-q.done
	if want := "first\n0123456\n0123456\n"; g.String() != want {
		t.Errorf("written: %q, want %q", g.String(), want)
	}
	if _, err := io.WriteString(q, "late\n"); err == nil {
		t.Error("a closed queue takes records")
	}
}

// TestQueueOfViews keeps one view at most.
func TestQueueOfViews(t *testing.T) {
	g := newGate()
	q := newQueue(g, 0)
	_, _ = io.WriteString(q, "view\n")
	<-g.entered
	for range 2 {
		_, _ = io.WriteString(q, "view\n")
	}
	if n := q.dropped.Load(); n != 1 {
		t.Errorf("%d of 3 views dropped, want 1", n)
	}
	close(g.open)
	if err := q.close(time.Now().Add(patience())); err != nil || g.String() != "view\nview\n" {
		t.Errorf("written: %q, %v", g.String(), err)
	}
}

// TestQueueAllocates nothing once it is warm.
func TestQueueAllocates(t *testing.T) {
	q := newQueue(io.Discard, queueLimit)
	record := bytes.Repeat([]byte("x"), 1000)
	for range 3000 {
		q.add(record)
		q.wake()
	}
	if n := testing.AllocsPerRun(100, func() { q.add(record); q.wake() }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
	_ = q.close(time.Now().Add(patience()))
}

// TestQueueAfterTornLine: what others left of a line does not take the next one.
func TestQueueAfterTornLine(t *testing.T) {
	for _, tt := range []struct{ name, there, want string }{
		{"new", "", "line\n"},
		{"whole", "before\n", "before\nline\n"},
		{"torn", "before\nbef", "before\nbef\nline\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
			open := func(path string) *os.File {
				t.Helper()
				if err := os.WriteFile(path, []byte(tt.there), 0o600); err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
			old := open(first)
			q := newQueue(old, queueLimit)
			q.add([]byte("line\n"))
			q.replace(open(second))
			eventually(t, "the first file is closed", func() (bool, any) {
				_, err := old.Stat()
				return errors.Is(err, os.ErrClosed), err
			})
			_, _ = io.WriteString(q, "line\n")
			if err := q.close(time.Now().Add(patience())); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{first, second} {
				if got, err := os.ReadFile(path); string(got) != tt.want {
					t.Errorf("%s: %q, want %q; %v", path, got, tt.want, err)
				}
			}
		})
	}
}
