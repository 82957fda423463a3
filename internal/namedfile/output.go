// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Output is an output that is being written. Nobody sees a regular file before
// Commit.
type Output struct {
	place *place
	file  *os.File // a regular file to be, or nil
	name  string   // that it has meanwhile, if any
	keep  bool     // a regular file that is not empty is not replaced
	to    *stream  // what is no regular file, or nil
}

// Create opens an output. What is no regular file is opened meanwhile, since a FIFO
// has to wait for a reader; the end of ctx ends all waiting for it.
func Create(ctx context.Context, path string) (*Output, error) { return create(ctx, path, false) }

// CreateNew is Create, but unless force it does not replace a regular file that has
// something in it (fs.ErrExist).
func CreateNew(ctx context.Context, path string, force bool) (*Output, error) {
	return create(ctx, path, !force)
}

func create(ctx context.Context, path string, keep bool) (*Output, error) {
	p, err := find(path)
	if err != nil {
		return nil, err
	}
	o := &Output{place: p, keep: keep}
	if !p.plain() {
		o.to = p.stream(ctx)
		return o, nil
	}
	if err := o.openFile(); err != nil {
		o.Abort()
		return nil, p.failed(err)
	}
	return o, nil
}

// Check says now what is wrong with an output that will be written later, and
// leaves nothing. It must be none of the command's other files. No path is no output.
func Check(path string, others ...string) error { return check(path, false, others) }

// CheckNew is Check of an output that CreateNew or WriteNew will write.
func CheckNew(path string, force bool, others ...string) error { return check(path, !force, others) }

func check(path string, keep bool, others []string) error {
	if path == "" {
		return nil
	}
	p, err := find(path)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.refuseTwice(others); err != nil || !p.plain() {
		return err
	}
	o := &Output{place: p, keep: keep}
	defer o.Abort()
	if err := o.openFile(); err != nil {
		return p.failed(err)
	}
	return nil
}

// Distinct is what Check finds of the command's other files alone.
func Distinct(path string, others ...string) error {
	if path == "" {
		return nil
	}
	p, err := find(path)
	if err != nil {
		return err
	}
	defer p.close()
	return p.refuseTwice(others)
}

func (p *place) refuseTwice(others []string) error {
	if !p.plain() {
		return nil
	}
	for _, name := range others {
		var st unix.Stat_t
		same := unix.Stat(name, &st) == nil && st.Dev == p.st.Dev && st.Ino == p.st.Ino
		if same || name == p.path {
			return p.failed(errTwice)
		}
	}
	return nil
}

// Write is an output of these bytes.
func Write(ctx context.Context, path string, data []byte) error {
	return WriteWith(ctx, path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteWith is an output of what write writes. If it fails, what was there stays.
func WriteWith(ctx context.Context, path string, write func(io.Writer) error) error {
	return WriteNew(ctx, path, true, write)
}

// WriteNew is WriteWith by CreateNew.
func WriteNew(ctx context.Context, path string, force bool, write func(io.Writer) error) error {
	o, err := CreateNew(ctx, path, force)
	if err != nil {
		return err
	}
	defer o.Abort()
	b := bufio.NewWriterSize(o, 1<<16)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := o.Sync(); err != nil {
		return err
	}
	return o.Commit()
}

// anonymous is off in tests of file systems without O_TMPFILE.
var anonymous = true

// temporary makes a file in the directory of the output: without a name, if it can
// be given one later, which takes /proc (open(2)).
func (p *place) temporary() (f *os.File, name string, err error) {
	const flags = unix.O_WRONLY | unix.O_CLOEXEC
	if anonymous {
		if fd, err := unix.Openat(p.dir, ".", flags|unix.O_TMPFILE, 0o666); err == nil {
			if unix.Access(descriptorPath(fd), unix.F_OK) == nil {
				return os.NewFile(uintptr(fd), p.path), "", nil
			}
			unix.Close(fd)
		}
	}
	name = temporaryName()
	fd, err := unix.Openat(p.dir, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), p.path), name, nil
}

func descriptorPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func temporaryName() string { return ".mllb-" + rand.Text()[:10] }

func (o *Output) openFile() (err error) {
	p := o.place
	if o.keep && p.st.Size > 0 {
		return errExists
	}
	if err := p.refusePinned(); err != nil {
		return err
	}
	if o.file, o.name, err = p.temporary(); err != nil {
		return err
	}
	return o.inherit()
}

// inherit gives the file the owner and the mode of the one that it will replace.
// As in write(2), set-ID bits do not outlive the contents.
func (o *Output) inherit() error {
	old := &o.place.st
	if old.Mode == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(o.file.Fd()), &st); err != nil {
		return err
	}
	if st.Uid != old.Uid || st.Gid != old.Gid {
		if err := o.file.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return fmt.Errorf("keep its owner %d:%d: %w", old.Uid, old.Gid, errors.Unwrap(err))
		}
	}
	return o.file.Chmod(fs.FileMode(old.Mode & 0o777))
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	if o.to != nil {
		return o.to.Write(b)
	}
	return o.file.Write(b)
}

// Sync makes a regular file outlive a power failure.
func (o *Output) Sync() error {
	if o.file == nil {
		return nil
	}
	return o.file.Sync()
}

// RemoveOld removes the regular file that Commit would replace, so that nobody takes
// it for the new one if there will be none.
func (o *Output) RemoveOld() error {
	if o.file == nil || o.place.st.Mode == 0 {
		return nil
	}
	err := o.recheck()
	if err == nil && o.place.st.Mode != 0 {
		err = unix.Unlinkat(o.place.dir, o.place.base, 0)
	}
	if err != nil {
		return o.place.failed(fmt.Errorf("remove the old one: %w", err))
	}
	return nil
}

// recheck sees whether somebody has put something else at the place of the output.
func (o *Output) recheck() error {
	if err := o.place.look(); err != nil {
		return err
	}
	if !o.place.plain() {
		return errChanged
	}
	return nil
}

// Commit ends the output: a regular file gets its name. On an error what was there
// stays.
func (o *Output) Commit() error {
	if o.to != nil {
		return o.to.finish()
	}
	defer o.Abort()
	err := o.rename()
	if err != nil {
		return o.place.failed(err)
	}
	return nil
}

func (o *Output) rename() error {
	p := o.place
	if err := o.recheck(); err != nil {
		return err
	}
	if o.keep && p.st.Size > 0 {
		return errExists
	}
	fresh := o.keep && p.st.Mode == 0 // rename(2) sees to it that it still is
	if o.name == "" {
		name := temporaryName()
		if err := unix.Linkat(unix.AT_FDCWD, descriptorPath(int(o.file.Fd())), p.dir, name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		o.name = name
	}
	// Some file systems report a failed write only now (close(2)).
	if err := o.file.Close(); err != nil {
		return err
	}
	var err error
	if fresh {
		err = unix.Renameat2(p.dir, o.name, p.dir, p.base, unix.RENAME_NOREPLACE)
	}
	if !fresh || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without that flag
		err = unix.Renameat(p.dir, o.name, p.dir, p.base)
	}
	if err == nil {
		o.name = ""
	}
	return err
}

// Abort leaves what was there. After Commit it does nothing.
func (o *Output) Abort() {
	if o.to != nil {
		o.to.CloseWithError(errAborted)
		return
	}
	if o.name != "" {
		_ = unix.Unlinkat(o.place.dir, o.name, 0)
		o.name = ""
	}
	if o.file != nil {
		o.file.Close()
	}
	o.place.close()
}
