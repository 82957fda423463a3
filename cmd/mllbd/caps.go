// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// capability is one bit of capabilities(7).
type capability struct {
	bit  uint
	name string
}

var (
	capSysNice = capability{unix.CAP_SYS_NICE, "CAP_SYS_NICE"}
	capBPF     = capability{unix.CAP_BPF, "CAP_BPF"}
	capPerfmon = capability{unix.CAP_PERFMON, "CAP_PERFMON"}
)

// capabilities returns the effective set of this process as a bitmap.
func capabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// missingCaps returns the names of those that have lacks, joined by " and ".
func missingCaps(have uint64, need ...capability) string {
	var names []string
	for _, c := range need {
		if have&(1<<c.bit) == 0 {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, " and ")
}

// checkCaps says which capability this run lacks and what for. Capabilities
// are asked for, never root: a service manager can give them to any user.
//
//   - sched_setaffinity(2) on a thread of another user: CAP_SYS_NICE
//     (kernel/sched/syscalls.c, 6.12, sched_setaffinity). CMD and what it
//     starts are the caller's own.
//   - tracing programs, of which iter/task is one, and their reads of kernel
//     memory: CAP_BPF and CAP_PERFMON (kernel/bpf/syscall.c, is_perfmon_prog_type).
func (c *runCmd) checkCaps(have uint64) error {
	if c.Mode != "observe" && len(c.Command) == 0 {
		if m := missingCaps(have, capSysNice); m != "" {
			return fmt.Errorf("--mode %s needs %s to set the affinity of other users' threads; without it there is --mode observe, or -- CMD", c.Mode, m)
		}
	}
	if c.Snapshot == "bpf" {
		if m := missingCaps(have, capBPF, capPerfmon); m != "" {
			return fmt.Errorf("--snapshot bpf needs %s to load its eBPF programs; without it there is --snapshot proc", m)
		}
	}
	return nil
}
