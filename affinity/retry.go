// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// retryFor is how long the end of a run, or Restore, tries again what failed for
// want of something.
const (
	retryFor = 2 * time.Second
	maxPause = 50 * time.Millisecond
)

// lacks are the errors that may pass: of memory, of descriptors, of luck.
var lacks = []error{unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EIO, unix.EINTR, unix.EAGAIN}

// retry says what is tried again.
type retry struct {
	until time.Time
	pause time.Duration
}

func newRetry() *retry { return &retry{time.Now().Add(retryFor), time.Millisecond} }

// worth reports whether what failed so may yet succeed.
func (r *retry) worth(err error) bool {
	return slices.ContainsFunc(lacks, func(l error) bool { return errors.Is(err, l) }) && time.Now().Before(r.until)
}

func (r *retry) wait() {
	time.Sleep(r.pause)
	r.pause = min(2*r.pause, maxPause)
}
