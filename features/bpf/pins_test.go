// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
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
	refused := shell(t, ":")
	for _, sh := range []*waiting{ours, theirs, refused} {
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
	// The last CPU of a word does not exist on the machines on which this runs.
	if out, err := exec.Command(taskset, "-p", "8000000000000000", strconv.Itoa(refused.Process.Pid)).CombinedOutput(); err == nil {
		t.Errorf("not refused: %s", out)
	} else if f.Pinned(int32(refused.Process.Pid)) {
		t.Error("it is pinned by what was refused")
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

// TestGuard: what anybody else gives a guarded thread is told once, as it was asked for.
func TestGuard(t *testing.T) {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip(err)
	}
	f := openTracer(t, usual)
	skipUnless(t, f.WatchPins())
	sh, other := shell(t, ":"), shell(t, ":")
	given, done, err := f.Guard(int32(sh.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	set := func(sh *waiting, mask string) {
		t.Helper()
		if out, err := exec.Command(taskset, "-p", mask, strconv.Itoa(sh.Process.Pid)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	expect := func(what string, want topology.CPUSet) {
		t.Helper()
		if got := given(); !got.Equal(want) || (got == nil) != (want == nil) {
			t.Errorf("%s: {%s}, want {%s}", what, got, want)
		}
	}
	expect("nobody", nil)
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedSetaffinity(sh.Process.Pid, &all); err != nil {
		t.Fatal(err)
	}
	expect("this process", nil)
	set(other, "1")
	expect("another thread", nil)
	set(sh, "1")
	expect("one CPU", topology.NewCPUSet(0))
	expect("told already", nil)
	set(sh, "3")
	set(sh, "1")
	expect("two calls", topology.NewCPUSet(0))
	done()
	set(sh, "1")
	expect("not guarded any more", nil)
}

// TestGuardWaits: a call that has begun ends before the guard is up, if it ends soon; and
// each that began is known to have ended.
func TestGuardWaits(t *testing.T) {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip(err)
	}
	f := openTracer(t, usual)
	skipUnless(t, f.WatchPins())
	sh := shell(t, ":")
	tid := int32(sh.Process.Pid)
	waits := 0
	guard := func(wait func()) int {
		t.Helper()
		waits = 0
		settingSleep = func(time.Duration) { waits++; wait() }
		defer func() { settingSleep = time.Sleep }()
		_, done, err := f.Guard(tid)
		if err != nil {
			t.Fatal(err)
		}
		done()
		return waits
	}
	begun := func(calls uint32) {
		if err := f.pins.Setting.Put(tid, calls); err != nil {
			t.Fatal(err)
		}
	}
	for _, mask := range []string{"1", "8000000000000000"} { // the second is refused
		_ = exec.Command(taskset, "-p", mask, strconv.Itoa(int(tid))).Run()
		var calls uint32
		if err := f.pins.Setting.Lookup(tid, &calls); err != nil || calls != 0 {
			t.Errorf("%d calls have begun and not ended after %s, %v", calls, mask, err)
		}
	}
	if n := guard(func() {}); n != 0 {
		t.Errorf("it waited %d times for nothing", n)
	}
	begun(1)
	if n := guard(func() { begun(0) }); n != 1 {
		t.Errorf("it waited %d times for a call that ended at once", n)
	}
	begun(1)
	if n := guard(func() {}); n != settingLooks {
		t.Errorf("it waited %d times for a call that does not end", n)
	}
}
