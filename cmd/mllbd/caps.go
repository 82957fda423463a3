// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"mllb/internal/denial"
)

// checkCaps says which capability this run lacks and what for. Capabilities
// are asked for, never root: a service manager can give them to any user.
//
//   - sched_setaffinity(2) on a thread of another user: CAP_SYS_NICE
//     (kernel/sched/syscalls.c, 6.12, sched_setaffinity). CMD and what it
//     starts are the caller's own, unless it runs as another user.
//   - setuid(2) and setgroups(2) for that: CAP_SETUID and CAP_SETGID.
//   - tracing programs, of which iter/task is one, and their reads of kernel
//     memory: CAP_BPF and CAP_PERFMON (kernel/bpf/syscall.c, is_perfmon_prog_type).
func (c *runCmd) checkCaps(have uint64, as *account) error {
	if as != nil {
		if m := denial.Missing(have, denial.CapSetuid, denial.CapSetgid); m != "" {
			return fmt.Errorf("to run CMD as user %s needs %s; without it there is --user %d", as.name, m, os.Geteuid())
		}
	}
	if c.Mode != "observe" && (len(c.Command) == 0 || as != nil) {
		if m := denial.Missing(have, denial.CapSysNice); m != "" {
			return fmt.Errorf("--mode %s needs %s to set the affinity of other users' threads; without it there is --mode observe, or -- CMD", c.Mode, m)
		}
	}
	if c.Snapshot == "bpf" {
		if m := denial.Missing(have, denial.CapBPF, denial.CapPerfmon); m != "" {
			return fmt.Errorf("--snapshot bpf needs %s to load its eBPF programs; without it there is --snapshot proc", m)
		}
	}
	return nil
}
