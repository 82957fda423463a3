// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cpusetGroup makes a cgroup of v2 in which cpusets can be made.
func cpusetGroup(t *testing.T) string {
	t.Helper()
	const root = "/sys/fs/cgroup"
	b, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil || !slices.Contains(strings.Fields(string(b)), "cpuset") {
		t.Skipf("no v2 hierarchy with cpusets at %s", root)
	}
	if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpuset"), 0); err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(root, "mllb-test-")
	if err != nil {
		t.Skip(err)
	}
	return dir
}

// inCPUSets finds the threads in DIR/mllb/cpuN, each of which must be a threaded
// cgroup of CPU N; other says what is not as it must be.
func inCPUSets(dir string) (threads int, other error) {
	groups, _ := filepath.Glob(filepath.Join(dir, "mllb", "cpu[0-9]*"))
	for _, group := range groups {
		cpu := strings.TrimPrefix(filepath.Base(group), "cpu")
		for file, want := range map[string]string{"cgroup.type": "threaded", "cpuset.cpus.effective": cpu} {
			if got, err := readLine(filepath.Join(group, file)); got != want {
				other = errors.Join(other, fmt.Errorf("%s/%s: %q, %v; want %s", group, file, got, err, want))
			}
		}
		b, err := os.ReadFile(filepath.Join(group, "cgroup.threads"))
		other = errors.Join(other, err)
		for f := range strings.FieldsSeq(string(b)) {
			tid, err := strconv.Atoi(f)
			if err != nil {
				return threads, err
			}
			if mask, there := masks([]int{tid})[tid]; there && mask != cpu {
				other = errors.Join(other, fmt.Errorf("thread %d in %s may run on %s", tid, group, mask))
			} else if there {
				threads++
			}
		}
	}
	return threads, other
}

// TestCPUSetThreaded has mllbd hold a load by threaded cpusets of v2: its
// threads are in a group for each CPU, and at the end, however that comes, back
// in their cgroup with their masks, and the groups are gone.
func TestCPUSetThreaded(t *testing.T) {
	needCPUs(t, 2)
	l := startLoadIn(t, cpusetGroup(t), "forkload", "2")
	whole := ownMaskText()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, d *daemonProc)
	}{
		{"SIGTERM", func(t *testing.T, d *daemonProc) { _ = d.Process.Signal(unix.SIGTERM); d.end() }},
		{"SIGKILL and restore", func(t *testing.T, d *daemonProc) {
			_ = d.Process.Kill()
			_ = d.Wait()
			restore(t, d.state)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t, t.TempDir(), append(l.ownArgs("cfs"), "--enforcer", "cpuset")...)
			l.waitHeld(t, whole, nil)
			eventually(t, "threads in groups of their CPUs", func() (bool, any) {
				threads, other := inCPUSets(l.dir)
				return threads >= 2 && other == nil, fmt.Sprintf("%d threads, %v", threads, other)
			})
			tt.end(t, d)
			if bad := l.narrowed(whole, nil); len(bad) > 0 {
				t.Errorf("left narrowed:\n%s\n%s", strings.Join(bad, "\n"), d.stderr.String())
			}
			if _, err := os.Stat(filepath.Join(l.dir, "mllb")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the groups are still there: %v\n%s", err, d.stderr.String())
			}
		})
	}
}
