// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features/bpf"
)

// parent is busy, and starts a sleeper when the file $0.1 comes to be, and
// another for $0.2.
const parent = `for n in 1 2; do while [ ! -e "$0.$n" ]; do :; done; sleep 3600 >/dev/null 2>&1 & done; while :; do :; done`

// TestForksFollowed: the child of a held thread starts with its parent's one
// CPU, and mllbd gives it its owner's mask. A child that is forked while mllbd
// is stopped shows that it is mllbd who does. Its parent is let go, for a while,
// and what it starts meanwhile has its owner's mask from birth.
func TestForksFollowed(t *testing.T) {
	needCPUs(t, 2)
	gate, whole := filepath.Join(t.TempDir(), "gate"), ownMaskText()
	d := startDaemon(t, t.TempDir(), "--mode", "own", "--policy", "never", "--", "sh", "-c", parent, gate)
	var pid int
	var held string
	eventually(t, "the parent is held", func() (bool, any) {
		pid, held = d.childOf("sh", d.Process.Pid)
		return pid > 0 && held != whole && !strings.ContainsAny(held, ",-"), held
	})
	fork := func(n string) (child int) {
		before := d.sleepers(pid)
		if err := os.WriteFile(gate+n, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a child", func() (bool, any) {
			all := d.sleepers(pid)
			for tid := range all {
				if _, old := before[tid]; !old {
					child = tid
				}
			}
			return child > 0, all
		})
		return child
	}
	wide := func(child int) func() (bool, any) {
		return func() (bool, any) { mask := masks([]int{child})[child]; return mask == whole, mask }
	}
	if err := d.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	first := fork(".1")
	if mask := masks([]int{first})[first]; mask != held {
		t.Errorf("with mllbd stopped, a child starts on %q, its parent is held on %s: nothing is shown", mask, held)
	}
	if err := d.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first child has its owner's mask", wide(first))
	if err := bpf.ProbeForks(); err != nil {
		eventually(t, "the second child has its owner's mask", wide(fork(".2")))
		d.terminate()
		t.Log("without the fork tracer a parent is not let go:", err)
		return
	}
	eventually(t, "the parent is let go", func() (bool, any) {
		_, mask := d.childOf("sh", d.Process.Pid)
		return mask == whole, mask
	})
	second := fork(".2")
	if mask := masks([]int{second})[second]; mask != whole {
		t.Errorf("the second child starts on %q, its parent is let go", mask)
	}
	eventually(t, "the parent is held again", func() (bool, any) {
		_, mask := d.childOf("sh", d.Process.Pid)
		return mask != whole, mask
	})
	d.terminate()
}

// childOf finds a child by its command name, and its mask.
func (d *daemonProc) childOf(comm string, ppid int) (pid int, mask string) {
	all := allStats()
	i := slices.IndexFunc(all, func(st stat) bool { return st.ppid == ppid && st.comm == comm })
	if i < 0 {
		return 0, ""
	}
	return all[i].pid, masks([]int{all[i].pid})[all[i].pid]
}

// sleepers are the children of pid that run sleep(1), with their masks.
func (d *daemonProc) sleepers(pid int) map[int]string {
	var pids []int
	for _, st := range allStats() {
		if st.ppid == pid && st.comm == "sleep" {
			pids = append(pids, st.pid)
		}
	}
	return masks(pids)
}
