// SPDX-License-Identifier: Apache-2.0

package live

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startLoad starts a workload of that many threads. Without a duration it is
// killed when the test ends; with one it has to end by itself, all of it, and
// ended says so.
func startLoad(t testing.TB, kind string, threads int, d time.Duration) (ended <-chan error) {
	t.Helper()
	return start(t, d, "/bin/mllb", "stress", kind, "--threads", strconv.Itoa(threads), "--procs", "2", "--seed", "7", "--duration", d.String())
}

func start(t testing.TB, d time.Duration, args ...string) <-chan error {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Error(err)
		}
	})
	return ended
}

// waitFor polls until something holds; the guest may be starved for long.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within two minutes", what)
		}
	}
}

// withoutAdmin runs f on a thread that has given up CAP_SYS_ADMIN, and ends it.
func withoutAdmin(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}
