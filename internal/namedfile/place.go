// SPDX-License-Identifier: Apache-2.0

// Package namedfile opens the files that a command line names, by one set of rules.
//
// An output that is a regular file, or that does not exist, gets its name when all
// of it is written: what was there stays until then, and gives the new file its
// mode and owner. Other hard links keep what they had. The file has no name while
// it is written (open(2), O_TMPFILE), so nothing is left of it however the program
// ends; where a file system has none of these, it is .mllb- and ten random letters.
//
// A character device, pipe or socket is written to and stays what it is. A link is
// followed to what it names, which is made if it does not exist. "-" is standard
// output; /dev/stdout, /dev/fd/N and /proc/self/fd/N are this process's own
// descriptors, written to from where they are. Refused are directories, block
// devices, mounted or append-only files where they would be replaced, and what another user put into a directory like
// /tmp (fs.protected_symlinks, _regular and _fifos, proc_sys_fs(5)).
//
// An output that is made by CreateNew or WriteNew does not replace a regular file in
// which there is something, unless it is told to: what a command made in minutes is
// not lost to the next.
//
// An input has to be a regular file.
package namedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links are followed (path_resolution(7)).
const maxLinks = 40

var (
	errBlock   = errors.New("is a block device")
	errPlanted = errors.New("belongs to another user, in a directory that anyone may write to")
	errPinned  = errors.New("is mounted, immutable or append-only: it cannot be replaced")
	errKind    = errors.New("is neither a file, a device, a pipe nor a socket")
	errFD      = errors.New("is not open for writing")
	errProc    = errors.New("is a link of /proc, but none of this process's own descriptors")
	errChanged = errors.New("was replaced while the output was made")
	errTwice   = errors.New("is an input or another output of the same command")
	errRegular = errors.New("not a regular file")
	errExists  = fmt.Errorf("%w; --force replaces it", fs.ErrExist)
)

// place is where an output goes: an entry of a directory, or a descriptor.
type place struct {
	path string
	dir  int         // of the directory, O_PATH
	base string      // in it, and no link
	st   unix.Stat_t // of what is there; a mode of 0: nothing
	own  *os.File    // instead of all that: a copy of one of this process's descriptors
}

// find follows links to where path is, and refuses what must not be written to.
func find(path string) (*place, error) {
	p := &place{path: path, dir: -1}
	err := p.find()
	if err != nil {
		p.close()
		return nil, p.failed(err)
	}
	return p, nil
}

// failed names the output in an error.
func (p *place) failed(err error) error { return &fs.PathError{Op: "write", Path: p.path, Err: err} }

func (p *place) close() {
	if p.dir >= 0 {
		unix.Close(p.dir)
		p.dir = -1
	}
	if p.own != nil {
		p.own.Close()
	}
}

func (p *place) find() error {
	if p.path == "-" {
		return p.descriptor(unix.Stdout)
	}
	name := p.path
	for range maxLinks {
		if err := p.enter(name); err != nil {
			return err
		}
		if p.st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return p.check()
		}
		if done, err := p.procLink(); done || err != nil {
			return err
		}
		var err error
		if name, err = readlinkat(p.dir, p.base); err != nil {
			return err
		}
	}
	return unix.ELOOP
}

// enter opens the directory of name, which is relative to the last one, and looks
// what is there.
func (p *place) enter(name string) error {
	dir, base := filepath.Split(name)
	switch {
	case name == "":
		return unix.ENOENT
	case base == "":
		return unix.EISDIR
	}
	from := p.dir
	if from < 0 {
		from = unix.AT_FDCWD
	}
	if dir == "" {
		dir = "."
	}
	fd, err := unix.Openat(from, dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if p.dir >= 0 {
		unix.Close(p.dir)
	}
	p.dir, p.base = fd, base
	if err := p.look(); err != nil {
		return err
	}
	return p.refusePlanted()
}

// look reads what is at the place now.
func (p *place) look() error {
	p.st = unix.Stat_t{}
	err := unix.Fstatat(p.dir, p.base, &p.st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// refusePlanted does what the kernel would, were its fs.protected_ settings on and
// were the file opened with O_CREAT.
func (p *place) refusePlanted() error {
	var dir unix.Stat_t
	if err := unix.Fstat(p.dir, &dir); err != nil {
		return err
	}
	const shared = unix.S_ISVTX | unix.S_IWOTH
	if p.st.Mode != 0 && dir.Mode&shared == shared && p.st.Uid != dir.Uid && p.st.Uid != uint32(os.Geteuid()) {
		return errPlanted
	}
	return nil
}

// procLink takes a link in /proc, whose text may be no path ("pipe:[1]"), for the
// descriptor of this process that it stands for. done is false for other links.
func (p *place) procLink() (done bool, err error) {
	var where unix.Statfs_t
	if err := unix.Fstatfs(p.dir, &where); err != nil || where.Type != unix.PROC_SUPER_MAGIC {
		return false, err
	}
	var here, own unix.Stat_t
	if err := errors.Join(unix.Fstat(p.dir, &here), unix.Stat("/proc/self/fd", &own)); err != nil {
		return false, err
	}
	fd, err := strconv.Atoi(p.base)
	if err != nil || here.Dev != own.Dev || here.Ino != own.Ino {
		return false, errProc
	}
	return true, p.descriptor(fd)
}

func (p *place) descriptor(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags&unix.O_PATH != 0 || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return errFD
	}
	if err := unix.Fstat(fd, &p.st); err != nil {
		return err
	}
	if p.st.Mode&unix.S_IFMT == 0 { // an epoll or BPF descriptor of our own, say
		return errKind
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.own = os.NewFile(uintptr(dup), p.path)
	return nil
}

// check refuses what is at the place if it must not, or cannot, be written to.
func (p *place) check() error {
	switch p.st.Mode & unix.S_IFMT {
	case 0:
		return nil
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFBLK:
		return errBlock
	}
	return unix.Faccessat(p.dir, p.base, unix.W_OK, unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW)
}

// refusePinned finds out what makes rename(2) fail, before the work.
func (p *place) refusePinned() error {
	var st unix.Statx_t
	const pinned = unix.STATX_ATTR_MOUNT_ROOT | unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	if err := unix.Statx(p.dir, p.base, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err == nil && st.Attributes&pinned != 0 {
		return errPinned
	}
	return nil
}

// plain says whether the output is put in place as a regular file.
func (p *place) plain() bool {
	return p.own == nil && (p.st.Mode == 0 || p.st.Mode&unix.S_IFMT == unix.S_IFREG)
}

func readlinkat(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
