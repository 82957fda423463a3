// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A cgroup is a name: whatever is done to the directories, the tree holds what
// is at its path and below, and says which one that is.
func TestTree(t *testing.T) {
	root := v2.build(t)
	d, err := Find(root, "user.slice")
	if err != nil {
		t.Fatal(err)
	}
	tree := NewTree(d)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(0)
	for _, tt := range []struct {
		name string
		do   func()
		want []string // below the path, "." for itself
		anew bool     // another cgroup has the name
	}{
		{"at first", func() {}, []string{".", "a"}, false},
		{"children", func() { do(os.MkdirAll(d.Path+"/a/b/c", 0o755)) }, []string{".", "a", "a/b", "a/b/c"}, false},
		{"a child renamed", func() { do(os.Rename(d.Path+"/a/b", d.Path+"/x")) }, []string{".", "a", "x", "x/c"}, false},
		{"children removed", func() { do(os.RemoveAll(d.Path + "/a")); do(os.RemoveAll(d.Path + "/x")) }, []string{"."}, false},
		{"renamed away", func() { do(os.Rename(d.Path, d.Path+".old")) }, nil, true},
		{"still gone", func() {}, nil, true},
		{"made anew", func() { do(os.MkdirAll(d.Path+"/worker", 0o755)) }, []string{".", "worker"}, true},
		{"the old one takes its place", func() {
			do(os.RemoveAll(d.Path))
			do(os.Rename(d.Path+".old", d.Path))
		}, []string{"."}, false},
		{"a file in its place", func() { do(os.Remove(d.Path)); do(os.WriteFile(d.Path, nil, 0o644)) }, nil, true},
	} {
		tt.do()
		if err := tree.Refresh(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if first == 0 {
			first = tree.Top()
		}
		if anew := tree.Top() != first; anew != tt.anew || (tree.Top() == 0) != (len(tt.want) == 0) {
			t.Errorf("%s: top %d, at first %d", tt.name, tree.Top(), first)
		}
		for _, w := range tt.want {
			info, err := os.Stat(filepath.Join(d.Path, w))
			if err != nil {
				t.Fatal(err)
			}
			if !tree.Has(inode(info)) {
				t.Errorf("%s: %s is not in the tree", tt.name, w)
			}
		}
		if len(tree.inodes) != len(tt.want) {
			t.Errorf("%s: %d cgroups, want %d", tt.name, len(tree.inodes), len(tt.want))
		}
	}
}

// What an unreadable moment leaves out of an excluded cgroup would be managed.
func TestTreeKeepsWhatItKnows(t *testing.T) {
	d, err := Find(v2.build(t), "user.slice")
	if err != nil {
		t.Fatal(err)
	}
	tree := NewTree(d)
	if err := tree.Refresh(); err != nil {
		t.Fatal(err)
	}
	before := len(tree.inodes)
	tree.path = filepath.Join(d.Path, strings.Repeat("x", 300)) // ENAMETOOLONG, for one
	if err := tree.Refresh(); err == nil || len(tree.inodes) != before || before == 0 {
		t.Errorf("%v, %d cgroups; want an error and %d", err, len(tree.inodes), before)
	}
}
