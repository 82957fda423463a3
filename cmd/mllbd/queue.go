// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// queueLimit is how many bytes of log lines or events may wait for their reader.
const queueLimit = 1 << 20

// endWait is how long the end of a run waits for those who read its outputs, and
// then once more, for who reads stderr.
const endWait = time.Second

var errDropped = errors.New("output queue is full")

// queue is a writer that never blocks. Records wait in it for a goroutine of its
// own, which writes them for as long as that takes: a terminal stopped by ^S, or a
// pipe whose reader stopped, must not hold up who has threads to give back. A
// record that finds it full is dropped and counted.
type queue struct {
	to      io.Writer   // the goroutine's own
	limit   int         // of the bytes that wait; one record always may
	onError func(error) // is told of the first write that failed, or nil
	wakeup  chan struct{}
	done    chan struct{}

	dropped atomic.Uint64 // records
	failed  atomic.Uint64 // writes, each of which lost what it was to write

	torn bool // what was written last is not a whole line; the goroutine's own

	mu      sync.Mutex
	next    io.WriteCloser // what replaces it, or nil
	records uint64         // that wait or are being written
	waiting []byte         // after a newline, which is for after a torn line
	spare   []byte
	closed  bool
}

func newQueue(to io.Writer, limit int) *queue {
	q := &queue{to: to, torn: endsTorn(to), limit: limit, wakeup: make(chan struct{}, 1), done: make(chan struct{})}
	q.waiting, q.spare = []byte{'\n'}, []byte{'\n'}
	go q.run()
	return q
}

// Write queues one record and has it written.
func (q *queue) Write(b []byte) (int, error) {
	if !q.add(b) {
		return 0, errDropped
	}
	q.wake()
	return len(b), nil
}

// replace has all that is added from now on written to another output, and the one
// before closed.
func (q *queue) replace(to io.WriteCloser) {
	q.mu.Lock()
	unused := q.next
	q.next = to
	q.mu.Unlock()
	if unused != nil {
		unused.Close()
	}
	q.wake()
}

// add queues one record, to be written after the next wake.
func (q *queue) add(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) > 1 && len(q.waiting)+len(b) > q.limit {
		q.dropped.Add(1)
		return false
	}
	q.waiting = append(q.waiting, b...)
	q.records++
	return true
}

func (q *queue) wake() {
	select {
	case q.wakeup <- struct{}{}:
	default: // it is not awake yet
	}
}

func (q *queue) run() {
	defer close(q.done)
	for range q.wakeup {
		q.mu.Lock()
		b, n, closed := q.waiting, q.records, q.closed
		q.waiting = q.spare[:1]
		next := q.next
		q.next = nil
		q.mu.Unlock()
		if len(b) > 1 {
			q.write(b)
		}
		if next != nil {
			q.change(next)
		}
		q.mu.Lock()
		q.spare = b
		q.records -= n
		q.mu.Unlock()
		if closed { // nothing was added since
			return
		}
	}
}

// write writes what waited, on a line of its own.
func (q *queue) write(b []byte) {
	if !q.torn {
		b = b[1:]
	}
	n, err := q.to.Write(b)
	if n > 0 {
		q.torn = b[n-1] != '\n'
	}
	q.failedBy(err)
}

func (q *queue) failedBy(err error) {
	if err != nil && q.failed.Add(1) == 1 && q.onError != nil {
		q.onError(err)
	}
}

func (q *queue) change(next io.Writer) {
	if c, ok := q.to.(io.Closer); ok {
		q.failedBy(c.Close()) // some file systems report a failed write only now (close(2))
	}
	q.to, q.torn = next, endsTorn(next)
}

// endsTorn says whether an output is a file that ends within a line, as after a
// writer that was killed or found the disk full. One that cannot be read may.
func endsTorn(to io.Writer) bool {
	f, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	r, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd())) // f is for writing only
	if err != nil {
		return true
	}
	defer r.Close()
	last := []byte{0}
	_, err = r.ReadAt(last, info.Size()-1)
	return err != nil || last[0] != '\n'
}

// close has what waits written, and waits for that until then at most.
func (q *queue) close(until time.Time) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	late := time.NewTimer(max(time.Until(until), 0))
	defer late.Stop()
	select {
	case <-q.done:
		return nil
	case <-late.C:
	}
	select {
	case <-q.done: // both, where until is over
		return nil
	default:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped.Add(q.records)
	return fmt.Errorf("nobody reads them: %d were not written", q.records)
}
