// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mllb/features"
)

// Masks die with the machine, so nothing here is ever synced to a disk: the
// journal must outlive the daemon, not the kernel.

const (
	journalName = "journal"
	maxJournal  = 1 << 30 // a journal that grew past this is not ours
	// A journal is rewritten when the lines that no longer matter outnumber
	// those that do by this factor, and by this many.
	deadFactor, deadSlack = 4, 1000
)

// history is a journal as it was read.
type history struct {
	header    header
	in        namespaces
	entries   map[features.ID]*journaled
	discarded int      // lines
	healed    []string // why the first of them were
}

// maxHealed is how many of the lines that are discarded are named.
const maxHealed = 8

// journaled is what a journal says of one thread.
type journaled struct {
	record
	Prev     int32 // the CPU of the hold before this one, or -1: the daemon may have died between journal and kernel
	Released bool
	Trail    []int32 // the CPUs of the latest holds, CPU last: what children may have inherited
}

// maxTrail bounds Trail; holds further back are long forgotten.
const maxTrail = 16

// parseJournal reads a journal. A bad header is an error; any other bad line
// is discarded and said, for it cannot be told from a torn or hostile one.
func parseJournal(text []byte) (*history, error) {
	first, rest, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%w: it has no whole header", ErrJournal)
	}
	h, err := parseHeader(string(first))
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrJournal, err)
	}
	p := &history{header: h, entries: make(map[features.ID]*journaled)}
	for n := 2; len(rest) > 0; n++ {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		rest = after
		if !whole {
			p.discard(n, "it was cut short")
			break
		}
		if n == 2 {
			// A journal of an older version has none.
			if p.in, err = parseNamespaces(string(line)); err == nil {
				continue
			}
		}
		op, r, err := parseRecord(string(line))
		if err != nil {
			p.discard(n, err.Error())
			continue
		}
		p.apply(op, r)
	}
	return p, nil
}

func (p *history) discard(n int, why string) {
	if p.discarded++; p.discarded <= maxHealed {
		p.healed = append(p.healed, fmt.Sprintf("journal line %d discarded: %s", n, why))
	}
}

func (p *history) apply(op string, r record) {
	e := p.entries[r.ID]
	switch op {
	case opHold:
		next := &journaled{record: r, Prev: -1}
		if e != nil {
			next.Since = min(e.Since, r.Since)
			next.Trail = e.Trail[max(0, len(e.Trail)-maxTrail+1):]
			if !e.Released {
				next.Prev = e.CPU
			}
		}
		next.Trail = append(next.Trail, r.CPU)
		p.entries[r.ID] = next
	case opReleased:
		if e != nil { // its hold may have been discarded
			e.Released = true
		}
	case opForgotten:
		delete(p.entries, r.ID)
	}
}

// journal is the open journal of this process. The lock is a file of its own,
// because the journal itself is replaced when it is rewritten.
type journal struct {
	dir  string
	lock *os.File
	file *os.File
	head header
	in   namespaces
	size int64 // bytes known to be whole lines
	line int   // lines after the header
	buf  []byte
}

// lockState makes the state directory if need be, checks that nobody else can
// write there, and takes the lock.
func lockState(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := private(info, fs.ModeDir); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		owner, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("%w: pid %s holds %s", ErrBusy, strings.TrimSpace(string(owner)), f.Name())
	}
	j := &journal{dir: dir, lock: f}
	if err := j.sign(); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// sign writes who holds the lock, for the message of whoever finds it held.
func (j *journal) sign() error {
	if err := j.lock.Truncate(0); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	if _, err := j.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// private refuses what somebody else could have written.
func private(info fs.FileInfo, kind fs.FileMode) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Type() != kind:
		return fmt.Errorf("%w: it is a %s", ErrJournal, info.Mode().Type())
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: it belongs to another user", ErrJournal)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%w: others may write it (mode %#o)", ErrJournal, info.Mode().Perm())
	}
	return nil
}

func (j *journal) path() string { return filepath.Join(j.dir, journalName) }

// read returns the journal that is there, nil if there is none.
func (j *journal) read() (*history, error) {
	// O_NONBLOCK: a FIFO in its place must not make us wait.
	f, err := os.OpenFile(j.path(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link", j.path(), ErrJournal)
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = private(info, 0)
	}
	if err == nil && info.Size() > maxJournal {
		err = fmt.Errorf("%w: %d bytes are too many", ErrJournal, info.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.path(), err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	p, err := parseJournal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.path(), err)
	}
	return p, nil
}

// moveAside keeps a journal that was refused for a person to look at.
func (j *journal) moveAside() (string, error) {
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s.refused-%d", j.path(), n)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, os.Rename(j.path(), to)
		}
	}
}

// rewrite replaces the journal by the header and these entries, in one step
// for whoever reads it.
func (j *journal) rewrite(entries iter.Seq[*entry]) error {
	j.buf = j.head.append(j.buf[:0])
	n := 0
	if j.in != (namespaces{}) {
		j.buf = j.in.append(j.buf)
		n++
	}
	for e := range entries {
		for _, cpu := range e.trail {
			hold := e.record
			hold.CPU = cpu
			j.buf = hold.append(j.buf, opHold)
			n++
		}
		if e.state == released {
			j.buf = e.append(j.buf, opReleased)
			n++
		}
	}
	tmp := j.path() + ".new"
	f, err := j.create(tmp)
	if err != nil {
		return fmt.Errorf("rewrite the journal: %w", err)
	}
	if err := os.Rename(tmp, j.path()); err != nil {
		f.Close()
		return fmt.Errorf("rewrite the journal: %w", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.line = f, int64(len(j.buf)), n
	return nil
}

// create writes j.buf to a new file and leaves it open for appending.
func (j *journal) create(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(j.buf); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// append writes whole lines with one write(2). What a failed write left of a
// line is cut off, or the next line would be lost with it.
func (j *journal) append(lines []byte, n int) error {
	if n == 0 {
		return nil
	}
	if _, err := j.file.Write(lines); err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			err = errors.Join(err, cut)
		}
		return fmt.Errorf("write the journal: %w", err)
	}
	j.size += int64(len(lines))
	j.line += n
	return nil
}

// wasteful reports whether most lines are of no use to a successor.
func (j *journal) wasteful(live int) bool { return j.line-live > deadFactor*live+deadSlack }

// remove deletes the journal: nothing is held any more.
func (j *journal) remove() error {
	if err := os.Remove(j.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the journal: %w", err)
	}
	return nil
}

// unlock lets the next daemon in. The lock file stays: removing it would let
// two daemons lock two files of that name.
func (j *journal) unlock() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	return errors.Join(err, j.lock.Close())
}
