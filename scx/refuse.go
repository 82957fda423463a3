// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
)

// ErrCookies says that core scheduling is in use: beside a sched_ext scheduler that can
// hang a machine with SMT.
var ErrCookies = errors.New("core scheduling is in use (prctl(2), PR_SCHED_CORE), which a sched_ext scheduler does not honour")

// prctl(2), include/uapi/linux/prctl.h.
const (
	prSchedCore    = 62
	prSchedCoreGet = 0
	scopeThread    = 0
)

// CheckCookies looks for a thread that has a core-scheduling cookie, of those that this
// process may ask about.
func CheckCookies() error {
	pids, err := procfile.IDs("/proc")
	if err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	for _, pid := range pids {
		tids, err := procfile.IDs(filepath.Join("/proc", strconv.Itoa(pid), "task"))
		if err != nil {
			continue // it has ended
		}
		for _, tid := range tids {
			var cookie uint64
			_, _, errno := unix.Syscall6(unix.SYS_PRCTL, prSchedCore, prSchedCoreGet, uintptr(tid), scopeThread, uintptr(unsafe.Pointer(&cookie)), 0)
			switch {
			case errno == unix.EINVAL || errno == unix.ENODEV:
				return nil // a kernel without it, or no SMT
			case errno == 0 && cookie != 0:
				return fmt.Errorf("scx: thread %d: %w", tid, ErrCookies)
			}
		}
	}
	return nil
}

// Served says whether the kernel keeps a share of each CPU for SCHED_EXT beside busy
// threads of the fair class, which run first: a deadline server, as 7.2 has.
func Served() (bool, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return false, fmt.Errorf("scx: %w", err)
	}
	var rq *btf.Struct
	if err := spec.TypeByName("rq", &rq); err != nil {
		return false, fmt.Errorf("scx: %w", err)
	}
	for _, m := range rq.Members {
		if m.Name == "ext_server" {
			return !serverOff(), nil
		}
	}
	return false, nil
}

// serverRuntime has the deadline server's runtime of a CPU, ns in each period.
const serverRuntime = "/sys/kernel/debug/sched/ext_server/cpu0/runtime"

// serverOff reports whether somebody took its time away.
func serverOff() bool {
	b, err := os.ReadFile(serverRuntime)
	return err == nil && strings.TrimSpace(string(b)) == "0"
}
