// SPDX-License-Identifier: Apache-2.0

package fibo

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mllb/internal/cgroup"
)

// limit is how many threads something allows.
type limit struct {
	name string
	max  uint64
}

// allowed refuses a run whose threads could all be alive at once and then be
// more than a limit: such a run would fail by chance.
func allowed(root string, threads int) error {
	for _, l := range limits(root) {
		if uint64(threads) > l.max {
			return fmt.Errorf("up to %d threads are alive at once, and %s is %d: take a smaller N or raise it", threads, l.name, l.max)
		}
	}
	return nil
}

// limits are those that this host puts on threads (man 7 pthreads, man 5 proc,
// Documentation/admin-guide/cgroup-v2.rst). What it does not say is none.
func limits(root string) []limit {
	var all []limit
	add := func(name, path string) {
		if text, err := os.ReadFile(path); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
				all = append(all, limit{name, n})
			}
		}
	}
	add("kernel.threads-max", filepath.Join(root, "proc/sys/kernel/threads-max"))
	add("kernel.pid_max", filepath.Join(root, "proc/sys/kernel/pid_max"))
	groups, _ := cgroup.Own(root, "pids")
	for _, dir := range groups {
		add("pids.max of "+dir, filepath.Join(dir, "pids.max"))
	}
	// Root is not bound by it (man 2 getrlimit).
	var nproc unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &nproc); err == nil && nproc.Cur != math.MaxUint64 && os.Geteuid() != 0 {
		all = append(all, limit{"the limit on the user's processes (ulimit -u)", nproc.Cur})
	}
	return all
}

func describe(all []limit) string {
	var parts []string
	for _, l := range all {
		parts = append(parts, fmt.Sprintf("%s %d", l.name, l.max))
	}
	return strings.Join(parts, ", ")
}
