// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
)

// auditEvery is how long an audit takes, and so how long it may take until a thread
// that sleeps, that nobody named and that has a mask of one CPU is in a snapshot. Beyond
// 5,000 threads it takes longer: a thread costs about 3 us, and so an audit 0.15 % of a CPU.
const (
	auditEvery = 10 * time.Second
	auditRate  = 500 // threads a second
)

// lasts is how long an audit of as many steps takes.
func lasts(steps int) time.Duration {
	return max(auditEvery, time.Duration(steps)*stepSize*time.Second/auditRate)
}

// audit goes over all threads in steps.
type audit struct {
	open  bool
	fd    int
	began int64 // Snapshot.Time
	steps int   // so far
	total int   // in the one before
}

// look goes on with the audit, as far as it should have come by now.
func (r *Reader) look(s *features.Snapshot) error {
	a := &r.awake.audit
	elapsed := time.Duration(s.Time - a.began)
	if !a.open {
		if elapsed < lasts(a.total) {
			return nil
		}
		fd, err := iterCreate(r.awake.iter.FD())
		if err != nil {
			return err
		}
		*a = audit{open: true, fd: fd, began: s.Time, total: a.total}
		elapsed = 0
	}
	due := int(int64(a.total) * int64(elapsed) / int64(lasts(a.total)))
	due = max(due, int(elapsed*auditRate/(stepSize*time.Second))) // there may be more than last time
	for a.steps <= due {
		more, err := r.step(s)
		if err != nil {
			return err
		}
		if !more {
			r.stopAudit()
			break
		}
	}
	return nil
}

// stopAudit ends an audit, and times the next one by it.
func (r *Reader) stopAudit() {
	if a := &r.awake.audit; a.open {
		unix.Close(a.fd)
		a.open, a.total = false, a.steps
	}
}

// step reads what an audit finds among the next stepSize threads, and says whether
// there may be more. The kernel stops once it has written as much as a read(2) asks
// for, and what it wrote beyond that comes with the next (bpf_seq_read).
func (r *Reader) step(s *features.Snapshot) (more bool, err error) {
	a := &r.awake.audit
	for {
		b := r.buf[:8]
		if n, err := readFull(a.fd, b); err != nil || n == 0 {
			return false, err
		}
		if u64(b) == pause {
			a.steps++
			return true, nil
		}
		b = r.buf[:threadSize]
		if _, err := readFull(a.fd, b[8:]); err != nil {
			return false, err
		}
		size := int(u32(b[offSize:]))
		if size < threadSize || size > len(r.buf) {
			return false, fmt.Errorf("thread record of %d bytes", size)
		}
		b = r.buf[:size]
		if _, err := readFull(a.fd, b[threadSize:]); err != nil {
			return false, err
		}
		if err := r.decodeNew(b, s); err != nil {
			return false, err
		}
	}
}

// readFull fills b, unless the file ends with its first byte.
func readFull(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		k, err := unix.Read(fd, b[n:])
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil:
			return n, fmt.Errorf("read iterator: %w", err)
		case k == 0 && n > 0:
			return n, fmt.Errorf("the iterator ended within a record")
		case k == 0:
			return 0, nil
		}
		n += max(k, 0)
	}
	return n, nil
}
