// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/procfile"
)

// needExt skips a test where no thread can be of SCHED_EXT, or is to be.
func needExt(t *testing.T) {
	t.Helper()
	if err := Supported(); !inGuest || errors.Is(err, ErrUnsupported) {
		t.Skipf("in guests whose kernel has sched_ext: %v", err)
	}
}

// sleeper is a process that lives until the test ends.
func sleeper(t *testing.T, env ...string) features.ID {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if len(env) > 0 {
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), env...)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if len(env) > 0 {
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	st, err := procfile.ReadStat(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	return features.ID{TID: int32(cmd.Process.Pid), Start: st.Start}
}

func policyOf(t *testing.T, id features.ID) uint32 {
	t.Helper()
	attr, err := unix.SchedGetAttr(int(id.TID), 0)
	if err != nil {
		t.Fatal(err)
	}
	return attr.Policy
}

// TestMembers: threads are put into SCHED_EXT and back, by the end or after a kill, but
// for those that were there before, and nothing else of them changes.
func TestMembers(t *testing.T) {
	needExt(t)
	theirs, ours, gone, other := sleeper(t), sleeper(t), sleeper(t), sleeper(t)
	if err := setPolicy(theirs, features.SchedOther, features.SchedExt); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, int(ours.TID), 7); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := Enlist(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []features.ID{ours, other} {
		if err := m.Add(id); err != nil || policyOf(t, id) != features.SchedExt || !m.Added(id) {
			t.Errorf("%v: %v, policy %d", id, err, policyOf(t, id))
		}
	}
	if nice, _ := unix.Getpriority(unix.PRIO_PROCESS, int(ours.TID)); nice != 20-7 { // as the system call has it
		t.Errorf("nice is %d", 20-nice)
	}
	gone.Start++
	if err := m.Add(gone); !errors.Is(err, ErrGone) || policyOf(t, gone) != features.SchedOther {
		t.Errorf("an id that is another thread's: %v", err)
	}
	if err := m.Remove(other); err != nil || policyOf(t, other) != features.SchedOther {
		t.Errorf("removed: %v", err)
	}
	if err := m.Add(other); !errors.Is(err, ErrChanged) {
		t.Errorf("a thread that is not to be a member again: %v", err)
	}
	back, left, err := m.Close()
	if back != 1 || left != 0 || err != nil || policyOf(t, ours) != features.SchedOther || policyOf(t, theirs) != features.SchedExt {
		t.Errorf("%d back, %d left, %v; ours %d, theirs %d", back, left, err, policyOf(t, ours), policyOf(t, theirs))
	}

	// Killed: what it started is of SCHED_EXT, too.
	if m, err = Enlist(dir); err != nil {
		t.Fatal(err)
	}
	done, err := Ask()
	if err != nil {
		t.Fatal(err)
	}
	child := sleeper(t)
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if policyOf(t, child) != features.SchedExt {
		t.Error("a child is not of SCHED_EXT")
	}
	if err := m.Add(ours); err != nil {
		t.Fatal(err)
	}
	back, left, err = Restore(dir)
	if back != 2 || left != 0 || err != nil || policyOf(t, child) != features.SchedOther || policyOf(t, theirs) != features.SchedExt {
		t.Errorf("restored: %d back, %d left, %v", back, left, err)
	}
	if back, left, err = Restore(dir); back+left != 0 || err != nil {
		t.Errorf("again: %d back, %d left, %v", back, left, err)
	}
}

// TestRestoreNote: a note of another boot is removed, a damaged one is said and kept.
func TestRestoreNote(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, NoteFile)
	for _, tt := range []struct {
		text string
		err  bool
	}{{`{"boot":"another","theirs":null}`, false}, {`{"boot"`, true}} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		back, left, err := Restore(dir)
		_, kept := os.Stat(path)
		if back+left != 0 || (err != nil) != tt.err || (kept == nil) != tt.err {
			t.Errorf("%s: %d back, %d left, %v; kept: %v", tt.text, back, left, err, kept == nil)
		}
	}
}

// TestCookies: a thread with a core-scheduling cookie is found.
func TestCookies(t *testing.T) {
	needExt(t)
	if err := CheckCookies(); err != nil {
		t.Fatalf("before there is one: %v", err)
	}
	switch err := cookie(); {
	case errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL):
		t.Skipf("no SMT, or a kernel without CONFIG_SCHED_CORE: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	sleeper(t, "MLLB_SCX_COOKIE=1")
	if err := CheckCookies(); !errors.Is(err, ErrCookies) {
		t.Errorf("beside one: %v", err)
	}
}

// cookie asks for whether there can be cookies at all.
func cookie() error {
	var none uint64
	return prctlCore(prSchedCoreGet, &none)
}

func prctlCore(what uintptr, cookie *uint64) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PRCTL, prSchedCore, what, 0, scopeThread, uintptr(unsafe.Pointer(cookie)), 0); errno != 0 {
		return errno
	}
	return nil
}

// haveCookie gives this process one, says so and waits.
func haveCookie() {
	const create = 1 // PR_SCHED_CORE_CREATE
	if err := prctlCore(create, nil); err != nil {
		return
	}
	os.Stdout.WriteString("cookie\n")
	time.Sleep(time.Hour)
}
