// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// named is one process with two busy threads, none of which is called as it is.
func named([]string) error {
	for i := range 2 {
		go func() {
			runtime.LockOSThread()
			comm := fmt.Sprintf("/proc/self/task/%d/comm", unix.Gettid())
			if err := os.WriteFile(comm, fmt.Appendf(nil, "GC Thread#%d", i), 0); err != nil {
				panic(err)
			}
			for {
				spin(1 << 40)
			}
		}()
	}
	fmt.Println("started")
	select {}
}

// child makes a cgroup below l's.
func (l *testLoad) child(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCgroupIsAName restarts services, which get new cgroups of the old names.
func TestCgroupIsAName(t *testing.T) {
	needCPUs(t, 2)
	whole := ownMaskText()
	for _, snapshot := range []string{"auto", "proc"} {
		t.Run(snapshot, func(t *testing.T) {
			// What is beside the services shows by what time mllbd holds threads.
			beside := startLoad(t, "sh", "-c", "yes >/dev/null & echo started; wait")
			start := func(dir string) *testLoad { return startLoadIn(t, dir, "forkload", "1") }
			args := beside.ownArgs("always")
			inner := filepath.Join(beside.dir, "late/inner")
			d := startDaemon(t, t.TempDir(), append(args, "--snapshot", snapshot,
				"--exclude", filepath.Join(beside.dir, "db"), "--exclude", filepath.Join(beside.dir, "late"))...)
			untouched := func(what string, loads ...*testLoad) {
				t.Helper()
				again := startLoadIn(t, beside.child(t, "control"), "sh", "-c", "yes >/dev/null & echo started; wait")
				again.waitHeld(t, whole, nil)
				for _, l := range loads {
					if bad := l.narrowed(whole, nil); len(bad) > 0 {
						t.Errorf("%s: held\n%s", what, strings.Join(bad, "\n"))
					}
				}
				again.stop(t)
			}
			beside.waitHeld(t, whole, nil)

			db := start(beside.child(t, "db"))
			untouched("an excluded cgroup that comes", db)
			db.stop(t)
			db = start(beside.child(t, "db"))
			late := beside.child(t, "late")
			if err := os.Mkdir(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			deep := start(inner)
			untouched("an excluded cgroup made anew, and one below another", db, deep)

			// A thread that is held goes into an excluded cgroup.
			held := start(beside.child(t, "moves"))
			held.waitHeld(t, whole, nil)
			for len(held.pids()) > 0 { // they fork
				for _, pid := range held.pids() {
					_ = os.WriteFile(late+"/cgroup.procs", fmt.Append(nil, pid), 0) // it may have ended
				}
			}
			if err := os.Remove(held.dir); err != nil {
				t.Fatal(err)
			}
			held.dir = late
			eventually(t, "threads that went into an excluded cgroup are given back", func() (bool, any) {
				bad := held.narrowed(whole, nil)
				return len(bad) == 0, bad
			})
			for _, l := range []*testLoad{db, deep, held} {
				l.stop(t)
			}
			d.finish(t, "a cgroup is not there yet", "a cgroup is there", "a cgroup was made anew")
		})
	}
}

// finish ends mllbd, which must have said these things.
func (d *daemonProc) finish(t *testing.T, said ...string) {
	t.Helper()
	_ = d.Process.Signal(unix.SIGTERM)
	if err := d.Wait(); err != nil {
		t.Errorf("mllbd: %v", err)
	}
	for _, s := range said {
		if !strings.Contains(d.stderr.String(), s) {
			t.Errorf("mllbd did not say %q:\n%s", s, d.stderr.String())
		}
	}
}

// TestManagedCgroupRestarts: --cgroup goes and comes back, and is managed.
func TestManagedCgroupRestarts(t *testing.T) {
	needCPUs(t, 2)
	whole := ownMaskText()
	l := startLoad(t, "forkload", "1")
	addr := freeAddr(t)
	d := startDaemon(t, t.TempDir(), append(l.ownArgs("always"), "--listen", addr)...)
	l.waitHeld(t, whole, nil)
	l.stop(t)
	eventually(t, "mllbd shows that the cgroup is gone", func() (bool, any) {
		_, page := getPage(addr, "/metrics")
		return strings.Contains(page, "\nmllb_cgroups_gone 1\n"), page
	})
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l = startLoadIn(t, l.dir, "forkload", "1")
	l.waitHeld(t, whole, nil)
	eventually(t, "and that it is back", func() (bool, any) {
		_, page := getPage(addr, "/metrics")
		return strings.Contains(page, "\nmllb_cgroups_gone 0\n"), page
	})
	d.finish(t, "a cgroup is gone", "a cgroup is there")
	if bad := l.narrowed(whole, nil); len(bad) > 0 {
		t.Errorf("left narrowed:\n%s", strings.Join(bad, "\n"))
	}
}

// TestExcludedProgram: a program is its process and its executable, whatever
// its threads are called.
func TestExcludedProgram(t *testing.T) {
	needCPUs(t, 2)
	whole := ownMaskText()
	yes, err := exec.LookPath("yes")
	if err == nil {
		yes, err = filepath.EvalSymlinks(yes)
	}
	if err != nil || filepath.Base(yes) == "busybox" {
		t.Skip("there is no yes that can be called otherwise:", yes, err)
	}
	program, err := os.ReadFile(yes)
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	server, alias := filepath.Join(tmp, "mllb-test-server"), filepath.Join(tmp, "alias")
	if err := os.WriteFile(server, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(server, alias); err != nil {
		t.Fatal(err)
	}
	for _, snapshot := range []string{"auto", "proc"} {
		t.Run(snapshot, func(t *testing.T) {
			control := startLoad(t, "sh", "-c", "yes >/dev/null & echo started; wait")
			threads := startLoadIn(t, control.child(t, "threads"), "named")
			called := startLoadIn(t, control.child(t, "called"), "sh", "-c", "echo started; exec "+alias+" >/dev/null")
			d := startDaemon(t, t.TempDir(), append(control.ownArgs("always"), "--snapshot", snapshot,
				"--exclude", "named,mllb-test-server")...)
			control.waitHeld(t, whole, nil)
			for _, l := range []*testLoad{threads, called} {
				if bad := l.narrowed(whole, nil); len(bad) > 0 {
					t.Errorf("held:\n%s", strings.Join(bad, "\n"))
				}
				l.stop(t)
			}
			d.finish(t)
		})
	}
}
