// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain makes the test binary several programs: mllbd itself, and the loads
// that it manages. They are on the PATH of the tests.
func TestMain(m *testing.M) {
	if inGuest {
		// Scripts side by side would only wait for each other, until they give up.
		_ = flag.Set("test.parallel", "1")
	}
	testscript.Main(tests{m}, map[string]func(){
		"mllbd":      main,
		"faulty":     faulty,
		"nocaps":     helper(nocaps),
		"onlycaps":   helper(onlycaps),
		"withcaps":   helper(withcaps),
		"noaffinity": helper(noaffinity),
		"crowd":      helper(crowd),
		"stormload":  helper(stormload),
		"storms":     helper(storms),
		"storm":      helper(storm),
		"forkload":   helper(forkload),
		"mass":       helper(mass),
		"mllb":       helper(launcher),
		"benchmark":  helper(benchmark),
		"becomes":    helper(becomes),
		"becameroot": helper(becameRoot),
		"interrupts": helper(interrupts),
		"awaits":     helper(awaits),
		"named":      helper(named),
		"knocks":     helper(knocks),
	})
}

type tests struct{ *testing.M }

// Run implements testscript.TestingM.
func (m tests) Run() int {
	os.Unsetenv("SUDO_UID") // CMD is to be whose the tests are
	return m.M.Run()
}

func helper(f func(args []string) error) func() {
	return func() {
		if err := f(os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
			os.Exit(1)
		}
	}
}

// nocaps runs a command without any capability: for the kernel, not as root.
func nocaps(args []string) error { return bounded(args, 0) }

// onlycaps MASK CMD... runs a command with the capabilities of a mask, where it has them.
func onlycaps(args []string) error {
	mask, err := strconv.ParseUint(args[0], 0, 64)
	if err != nil {
		return err
	}
	return bounded(args[1:], mask)
}

func bounded(args []string, keep uint64) error {
	runtime.LockOSThread() // the bounding set is a thread's own
	for bit := range uintptr(unix.CAP_LAST_CAP + 1) {
		if keep&(1<<bit) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, bit, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", bit, err)
		}
	}
	return become(args)
}

// withcaps runs a command with inheritable and ambient capabilities.
func withcaps(args []string) error {
	runtime.LockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	for i := range data {
		data[i].Inheritable = data[i].Permitted
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_NICE, 0, 0); err != nil {
		return err
	}
	return become(args)
}

// noaffinity runs a command that is killed if it calls sched_setaffinity(2).
func noaffinity(args []string) error {
	runtime.LockOSThread() // a filter is a thread's own, until the command begins
	const number = 0       // offset in struct seccomp_data, of a native system call
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SCHED_SETAFFINITY, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return become(args)
}

func become(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, args, os.Environ())
}

// duration parses the seconds that a load is to last.
func duration(text string) time.Duration {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return time.Duration(s * float64(time.Second))
}
