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
	testscript.Main(m, map[string]func(){
		"mllbd":     main,
		"nocaps":    helper(nocaps),
		"crowd":     helper(crowd),
		"stormload": helper(stormload),
		"forkload":  helper(forkload),
		"mass":      helper(mass),
		"restless":  helper(restless),
		"mllb":      helper(launcher),
		"benchmark": helper(benchmark),
	})
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
func nocaps(args []string) error {
	runtime.LockOSThread() // the bounding set is a thread's own
	for bit := range uintptr(unix.CAP_LAST_CAP + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, bit, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", bit, err)
		}
	}
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
