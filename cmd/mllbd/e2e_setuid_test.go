// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// becomes is a program that spins until it is held, and not only has its parent's
// mask for a moment, then executes the program named, which is set-user-ID.
func becomes(args []string) error {
	runtime.LockOSThread()
	for wide := time.Now(); ; {
		var mask unix.CPUSet
		if err := unix.SchedGetaffinity(0, &mask); err != nil {
			return err
		}
		if mask.Count() > 1 {
			wide = time.Now()
		}
		if time.Since(wide) > time.Second {
			return unix.Exec(args[0], args, os.Environ())
		}
	}
}

// becameRoot makes root's all ids of a set-user-ID program and stays until its
// input ends.
func becameRoot([]string) error {
	if err := syscall.Setuid(0); err != nil {
		return err
	}
	fmt.Println("root")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// TestSetUserID has an unprivileged mllbd hold what becomes root. It cannot
// give that mask back, and says so, also by its exit status.
func TestSetUserID(t *testing.T) {
	needCPUs(t, 2)
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := os.MkdirTemp("", "mllb-setuid-") // t.TempDir's parent is root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	state := filepath.Join(dir, "state")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(state, 0o700), os.Chown(state, 65534, 65534), os.Chmod(dir, 0o755),
		os.WriteFile(dir+"/mllbd", self, 0o755), os.Link(dir+"/mllbd", dir+"/becomes"),
		os.WriteFile(dir+"/becameroot", self, 0o755), os.Chmod(dir+"/becameroot", os.ModeSetuid|0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// CMD ends once its child is root, and with it mllbd.
	const script = `mkfifo "$1/said"; exec 3<&0; "$0/becomes" "$0/becameroot" <&3 >"$1/said" 2>/dev/null & read line <"$1/said"; test "$line" = root`
	d := prepareProgram(t, state, append([]string{dir + "/mllbd"},
		runArgs(state, "--mode", "own", "--hold", "all", "--interval", "10ms", "--", "sh", "-c", script, dir, state)...)...)
	d.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	stdin, err := d.StdinPipe() // what became root ends with it
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	d.start()
	_, _ = io.Copy(io.Discard, d.stdout)
	_ = d.Wait()
	if code := d.ProcessState.ExitCode(); code != exitInternal || !strings.Contains(d.stderr.String(), "mllbd: masks left: ") {
		t.Errorf("mllbd ended with %d, want %d and masks left:\n%s", code, exitInternal, d.stderr.String())
	}
	if _, err := os.Stat(filepath.Join(state, "journal")); err != nil {
		t.Error(err)
	}
}
