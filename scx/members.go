// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/internal/procfile"
)

// Members are the threads of a partial scheduler: those of the host that are of
// SCHED_EXT, but for those that were before. While no scheduler is loaded, the kernel
// has them run in the fair class, as before (kernel/sched/ext.c, task_should_scx, 6.12).
type Members struct {
	path   string
	theirs map[features.ID]bool
	seen   map[features.ID]bool // that Add made members; false: not seen by Seen since
}

// NoteFile is the file of the state directory that says that threads are to be put back.
const NoteFile = "sched_ext"

// note is its content.
type note struct {
	Boot   string        `json:"boot"`   // /proc/sys/kernel/random/boot_id
	Theirs []features.ID `json:"theirs"` // were of SCHED_EXT before
}

// Enlist makes ready to put threads into SCHED_EXT. dir has a note of it until Close.
func Enlist(dir string) (*Members, error) {
	m := &Members{path: filepath.Join(dir, NoteFile), theirs: make(map[features.ID]bool), seen: make(map[features.ID]bool)}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	n := note{Boot: boot}
	if err := eachExt(func(id features.ID) error {
		n.Theirs = append(n.Theirs, id)
		m.theirs[id] = true
		return nil
	}); err != nil {
		return nil, err
	}
	text, err := json.Marshal(n)
	if err == nil {
		err = namedfile.Write(context.Background(), m.path, append(text, '\n'))
	}
	if err != nil {
		return nil, fmt.Errorf("scx: note what is to be undone: %w", err)
	}
	return m, nil
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("scx: which boot this is: %w", err)
	}
	return string(b), nil
}

// Errors of a change of policy.
var (
	ErrGone    = errors.New("the thread has ended")
	ErrChanged = errors.New("its owner set another scheduling policy")
)

// Add makes a thread of SCHED_OTHER a member, unless it was one before: then it is no
// more because its owner wants so.
func (m *Members) Add(id features.ID) error {
	if _, before := m.seen[id]; before {
		return ErrChanged
	}
	if err := setPolicy(id, features.SchedOther, features.SchedExt); err != nil {
		return err
	}
	m.seen[id] = true
	return nil
}

// Added reports whether Add made a thread a member.
func (m *Members) Added(id features.ID) bool {
	_, yes := m.seen[id]
	return yes
}

// Remove puts a thread back.
func (m *Members) Remove(id features.ID) error {
	return setPolicy(id, features.SchedExt, features.SchedOther)
}

// Forget drops what is known of threads that a snapshot of all does not have.
func (m *Members) Forget(s *features.Snapshot) {
	for id := range m.seen {
		m.seen[id] = false
	}
	for i := range s.Threads {
		if _, ok := m.seen[s.Threads[i].ID]; ok {
			m.seen[s.Threads[i].ID] = true
		}
	}
	for id, there := range m.seen {
		if !there {
			delete(m.seen, id)
		}
	}
}

// Ask has the calling goroutine's OS thread be of SCHED_EXT, and what it starts, until
// done is called.
func Ask() (done func() error, err error) {
	runtime.LockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("scx: the scheduling policy of this thread: %w", err)
	}
	was := *attr
	attr.Policy = features.SchedExt
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("scx: start a command in SCHED_EXT: %w", err)
	}
	return func() error {
		if err := unix.SchedSetAttr(0, &was, 0); err != nil {
			return err // the thread stays locked, and ends with its goroutine
		}
		runtime.UnlockOSThread()
		return nil
	}, nil
}

// Close puts all members back and removes the note. It returns how many they were, and
// how many could not be put back.
func (m *Members) Close() (back, left int, err error) {
	back, left, err = putBack(m.theirs)
	if left > 0 || err != nil {
		return back, left, err
	}
	return back, left, os.Remove(m.path)
}

// ErrRunning says that a scheduler of mllb's is loaded, so its members are not to be put back.
var ErrRunning = errors.New("mllb's sched_ext scheduler is loaded: end that mllbd first")

// Restore does what Close of a killed mllbd would have done, if dir has a note.
func Restore(dir string) (back, left int, err error) {
	path := filepath.Join(dir, NoteFile)
	text, err := namedfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("scx: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return 0, 0, err
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return 0, 0, fmt.Errorf("scx: %s: %w", path, err)
	}
	if n.Boot != boot {
		return 0, 0, os.Remove(path) // what ran then is gone
	}
	if _, ops, err := procfile.SchedExt("/"); err != nil || ops == Name {
		return 0, 0, errors.Join(err, fmt.Errorf("scx: %w", ErrRunning))
	}
	m := &Members{path: path, theirs: make(map[features.ID]bool)}
	for _, id := range n.Theirs {
		m.theirs[id] = true
	}
	return m.Close()
}

// maxPasses is how often all threads are looked at, since some may fork meanwhile.
const maxPasses = 20

func putBack(theirs map[features.ID]bool) (back, left int, err error) {
	for range maxPasses {
		found := 0
		left = 0
		err = eachExt(func(id features.ID) error {
			if theirs[id] {
				return nil
			}
			found++
			switch err := setPolicy(id, features.SchedExt, features.SchedOther); {
			case err == nil:
				back++
			case errors.Is(err, ErrGone), errors.Is(err, ErrChanged):
			default:
				left++
			}
			return nil
		})
		if err != nil || found == left {
			break
		}
	}
	return back, left, err
}

// eachExt calls f for each thread of the host that is of SCHED_EXT.
func eachExt(f func(features.ID) error) error {
	pids, err := procfile.IDs("/proc")
	if err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
		tids, err := procfile.IDs(dir)
		if err != nil {
			continue // it has ended
		}
		for _, tid := range tids {
			attr, err := unix.SchedGetAttr(tid, 0)
			if err != nil || attr.Policy != features.SchedExt {
				continue
			}
			st, err := procfile.ReadStat(filepath.Join(dir, strconv.Itoa(tid)))
			if err != nil {
				continue
			}
			if err := f(features.ID{TID: int32(tid), Start: st.Start}); err != nil {
				return err
			}
		}
	}
	return nil
}

// setPolicy changes the policy of a thread, and nothing else of it.
func setPolicy(id features.ID, from, to uint32) error {
	attr, err := unix.SchedGetAttr(int(id.TID), 0)
	switch {
	case errors.Is(err, unix.ESRCH) || err == nil && !lives(id):
		return ErrGone
	case err != nil:
		return fmt.Errorf("scx: thread %d: %w", id.TID, err)
	case attr.Policy != from:
		return ErrChanged
	}
	attr.Policy = to
	switch err := unix.SchedSetAttr(int(id.TID), attr, 0); {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case err != nil:
		return fmt.Errorf("scx: thread %d: set its policy to %d: %w", id.TID, to, err)
	}
	return nil
}

// lives reports whether a thread has not ended: its id may be another's by now.
func lives(id features.ID) bool {
	st, err := procfile.ReadStat(filepath.Join("/proc", strconv.Itoa(int(id.TID))))
	return err == nil && st.Start == id.Start
}
