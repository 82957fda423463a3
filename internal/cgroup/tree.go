// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Tree is the set of inodes of the cgroup that has a name, and of everything
// below it: what a thread's features.Thread.Cgroup is looked up in. Which cgroup
// has the name may change: a service that restarts gets a new one. It is not
// safe for concurrent use.
type Tree struct {
	path   string
	top    uint64 // inode of path at the last Refresh; 0: there was none
	inodes map[uint64]struct{}
	next   map[uint64]struct{}
}

// NewTree returns the tree of the cgroup at d.Path, empty until the first Refresh.
func NewTree(d Dir) *Tree {
	return &Tree{path: d.Path, inodes: make(map[uint64]struct{}), next: make(map[uint64]struct{})}
}

// Path returns the directory that names the cgroup.
func (t *Tree) Path() string { return t.path }

// Top returns the inode of the cgroup that had the name at the last Refresh, 0
// if none had.
func (t *Tree) Top() uint64 { return t.top }

// Has reports whether the tree held a cgroup of this inode at the last Refresh.
func (t *Tree) Has(inode uint64) bool {
	_, ok := t.inodes[inode]
	return ok
}

// Refresh walks the tree again. Cgroups that vanish meanwhile are left out; a
// name that no cgroup has now is no error, and the tree is empty. If the walk
// fails the tree stays as it was.
func (t *Tree) Refresh() error {
	clear(t.next)
	top := uint64(0)
	info, err := os.Lstat(t.path)
	if err == nil && info.IsDir() {
		top = inode(info)
		err = t.walk(t.path, info)
	}
	if gone(err) != nil {
		return fmt.Errorf("walk cgroup: %w", err)
	}
	t.top = top
	t.inodes, t.next = t.next, t.inodes
	return nil
}

func (t *Tree) walk(dir string, info fs.FileInfo) error {
	t.next[inode(info)] = struct{}{}
	// kernfs counts subdirectories in nlink (fs/kernfs/dir.c, inc_nlink): 2
	// is a leaf, whose dozens of control files need not be listed.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 2 {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return gone(err)
	}
	entries, err := f.ReadDir(-1)
	_ = f.Close()
	if err := gone(err); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub, err := e.Info()
		if err != nil {
			if err = gone(err); err != nil {
				return err
			}
			continue
		}
		if err := t.walk(filepath.Join(dir, e.Name()), sub); err != nil {
			return err
		}
	}
	return nil
}

// gone drops the errors of a cgroup that was removed during the walk.
func gone(err error) error {
	// Reading an open directory of a removed cgroup: ENODEV (kernfs).
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}
