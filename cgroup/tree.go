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

// Tree is the set of inodes of a cgroup and of everything below it: what a
// thread's features.Thread.Cgroup is looked up in. It is not safe for
// concurrent use.
type Tree struct {
	dir    Dir
	inodes map[uint64]struct{}
}

// NewTree returns the tree below d, empty until the first Refresh.
func NewTree(d Dir) *Tree {
	return &Tree{dir: d, inodes: make(map[uint64]struct{})}
}

// Has reports whether the tree held a cgroup of this inode at the last Refresh.
func (t *Tree) Has(inode uint64) bool {
	_, ok := t.inodes[inode]
	return ok
}

// Len returns how many cgroups the tree held at the last Refresh.
func (t *Tree) Len() int { return len(t.inodes) }

// Refresh walks the tree again. Cgroups that vanish meanwhile are left out. The
// error wraps fs.ErrNotExist if the cgroup itself is gone, and also if another
// one has taken its place; the tree is empty then.
func (t *Tree) Refresh() error {
	clear(t.inodes)
	info, err := os.Lstat(t.dir.Path)
	if err != nil {
		return fmt.Errorf("walk cgroup: %w", err)
	}
	if inode(info) != t.dir.Inode {
		return fmt.Errorf("walk cgroup: %s was removed and made again: %w", t.dir.Path, fs.ErrNotExist)
	}
	if err := t.walk(t.dir.Path, info); err != nil {
		clear(t.inodes)
		return fmt.Errorf("walk cgroup: %w", err)
	}
	return nil
}

// Inodes returns the inodes of d and of everything below it, by one walk.
func (d Dir) Inodes() (map[uint64]struct{}, error) {
	t := NewTree(d)
	err := t.Refresh()
	return t.inodes, err
}

func (t *Tree) walk(dir string, info fs.FileInfo) error {
	t.inodes[inode(info)] = struct{}{}
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
