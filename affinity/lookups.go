// SPDX-License-Identifier: Apache-2.0

package affinity

import "errors"

// lookups is the Sys of the lineage. It remembers that something could not be
// read for another reason than that it has ended: who is whose child is then not
// known.
type lookups struct {
	Sys
	err error
}

// Task implements Sys.
func (l *lookups) Task(tgid, tid int32) (Task, error) {
	t, err := l.Sys.Task(tgid, tid)
	return t, l.note(err)
}

// InCgroup implements Sys.
func (l *lookups) InCgroup(tgid, tid int32, inode uint64) (bool, error) {
	in, err := l.Sys.InCgroup(tgid, tid, inode)
	return in, l.note(err)
}

func (l *lookups) note(err error) error {
	if err != nil && !errors.Is(err, ErrGone) {
		l.err = err
	}
	return err
}

// unsure returns why what was found since the last call is not certain, if it is
// not.
func (l *lineage) unsure() error {
	err := l.sys.err
	l.sys.err = nil
	return err
}
