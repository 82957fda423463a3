// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// setOnline takes CPUs off line or back by writing their `online`
// (Documentation/core-api/cpu_hotplug.rst); at the end of the test all are back.
func setOnline(t *testing.T, online bool, cpus ...int) {
	t.Helper()
	for _, cpu := range cpus {
		file := fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", cpu)
		if err := os.WriteFile(file, []byte(map[bool]string{false: "0", true: "1"}[online]), 0); err != nil {
			t.Fatal(err)
		}
		if !online {
			t.Cleanup(func() { _ = os.WriteFile(file, []byte("1"), 0) })
		}
	}
}

// busy are the processes of a crowd, without the one that started them.
func (l *testLoad) busy() []int {
	return slices.DeleteFunc(l.pids(), func(pid int) bool { return pid == l.pid })
}

// waitHeldOn waits until n processes are held: some on each CPU of used, none
// off line, and nowhere two more than their share. TestOwnSpreads asks for more.
func (l *testLoad) waitHeldOn(t *testing.T, what string, n int, used, offline []int) {
	t.Helper()
	eventually(t, what, func() (bool, any) {
		on, whole := heldOn(l.busy())
		sum, share := 0, (n+len(on)-len(offline)-1)/(len(on)-len(offline))
		for cpu, held := range on {
			sum += held
			if slices.Contains(offline, cpu) && held > 0 || slices.Contains(used, cpu) && held == 0 || held > share+1 {
				return false, fmt.Sprintf("%v, cpu %d", on, cpu)
			}
		}
		return sum == n, fmt.Sprintf("%v, and %d held on no CPU", on, whole)
	})
}

func offlineNow(offline []int, back bool) topology.CPUSet {
	if back {
		return nil
	}
	return topology.NewCPUSet(offline...)
}

// barred returns the threads of the load that may not run on a CPU of whole
// that is on line.
func (l *testLoad) barred(t *testing.T, whole string, offline topology.CPUSet) (found []string) {
	t.Helper()
	online, err := topology.ParseCPUList(whole)
	if err != nil {
		t.Fatal(err)
	}
	for cpu := range offline.All() {
		online.Remove(cpu)
	}
	for tid, mask := range masks(l.pids()) {
		if set, err := topology.ParseCPUList(mask); err != nil || !online.SubsetOf(set) {
			found = append(found, fmt.Sprintf("%d: %s, %v", tid, mask, err))
		}
	}
	return found
}

// TestHotplug takes CPUs off line and back while mllbd owns a load. The kernel
// gives a thread whose only CPU went another mask (select_fallback_rq,
// kernel/sched/core.c); mllbd must hold it again elsewhere, use a CPU that came
// back, and leave every mask as it was, also if it ends while CPUs are away.
func TestHotplug(t *testing.T) {
	needGuest(t)
	needCPUs(t, 4)
	n := runtime.NumCPU()
	var node []int // the upper half of the CPUs: in a guest of two sockets, a node
	for cpu := n / 2; cpu < n; cpu++ {
		node = append(node, cpu)
	}
	for _, tt := range []struct {
		name    string
		offline []int
		back    bool // before mllbd ends
		kill    bool
	}{
		{"a CPU goes and comes back", node[len(node)-1:], true, false},
		{"a node is away at the end", node, false, false},
		{"a CPU is away when mllbd is killed", node[len(node)-1:], false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && !tt.back {
				t.Skip("-short: a minute of a guest")
			}
			whole, dir := ownMaskText(), makeCgroup(t)
			d := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "busy", "--cgroup", dir)
			d.waitJournal() // it starts slowly beside a load
			l := startLoadIn(t, dir, "crowd", strconv.Itoa(n), cpus(), "3600", "3600")
			procs := l.busy()
			l.waitHeldOn(t, "the load is held, also on the CPUs that will go", n, tt.offline, nil)
			setOnline(t, false, tt.offline...)
			l.waitHeldOn(t, "the load is held on the CPUs that are left", n, nil, tt.offline)
			if tt.back {
				setOnline(t, true, tt.offline...)
				l.waitHeldOn(t, "what came back is used again", n, tt.offline, nil)
			}
			if tt.kill {
				_ = d.Process.Kill()
				_ = d.Wait()
				restore(t, d.state)
			} else {
				_ = d.Process.Signal(unix.SIGTERM)
				d.end() // and it has warned of nothing
			}
			// A cpuset's threads lose what is off line from their masks until it
			// is back (cpuset_update_tasks_cpumask, kernel/cgroup/cpuset.c).
			if bad := l.barred(t, whole, offlineNow(tt.offline, tt.back)); len(bad) > 0 {
				t.Errorf("left narrowed:\n%s\n%s", strings.Join(bad, "\n"), d.stderr.String())
			}
			setOnline(t, true, tt.offline...)
			eventually(t, "with all CPUs back every mask is whole", func() (bool, any) {
				bad := l.narrowed(whole, nil)
				return len(bad) == 0, bad
			})
			for _, pid := range procs {
				if err := syscall.Kill(pid, 0); err != nil {
					t.Errorf("process %d of the load: %v", pid, err)
				}
			}
			t.Log(d.stderr.String())
		})
	}
}
