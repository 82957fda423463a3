// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPinned: a tracked thread that anybody else gives a mask is told from one that
// this process gives a mask, and from its children.
func TestPinned(t *testing.T) {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip(err)
	}
	f := openTracer(t, usual)
	skipUnless(t, f.WatchPins())
	ours, theirs := shell(t, ":"), shell(t, ":")
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for _, sh := range []*waiting{ours, theirs} {
		if err := f.Track(int32(sh.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SchedSetaffinity(ours.Process.Pid, &all); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(taskset, "-p", "1", strconv.Itoa(theirs.Process.Pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if f.Pinned(int32(ours.Process.Pid)) || !f.Pinned(int32(theirs.Process.Pid)) {
		t.Errorf("ours %t, theirs %t", f.Pinned(int32(ours.Process.Pid)), f.Pinned(int32(theirs.Process.Pid)))
	}
	if err := f.Track(int32(theirs.Process.Pid)); err != nil || f.Pinned(int32(theirs.Process.Pid)) {
		t.Errorf("tracked anew it is still pinned: %v", err)
	}
	if f.Pinned(1) {
		t.Error("a thread that is not tracked is pinned")
	}
}
