// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mllb/features"
)

// hierarchies are where a host keeps its cpusets, and how a new cgroup there
// is made ready to hold processes.
var hierarchies = []struct {
	name, root string
	prepare    func(t *testing.T, root, dir string)
}{
	{"v1", "/sys/fs/cgroup/cpuset", func(t *testing.T, root, dir string) {
		for _, file := range []string{"cpuset.mems", "cpuset.cpus"} {
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, file), string(text))
		}
	}},
	{"v2", "/sys/fs/cgroup", func(t *testing.T, root, _ string) {
		write(t, filepath.Join(root, "cgroup.subtree_control"), "+cpuset")
	}},
}

// hasCPUSets tells whether cpusets can be made below root.
func hasCPUSets(root string) bool {
	if _, err := os.Stat(filepath.Join(root, "cpuset.cpus")); err == nil {
		return true // v1
	}
	text, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	return err == nil && bytes.Contains(text, []byte("cpuset"))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// TestCPUSetReal holds, and is killed while it holds, in a cpuset of this
// machine's kernel.
func TestCPUSetReal(t *testing.T) {
	for _, h := range hierarchies {
		t.Run(h.name, func(t *testing.T) {
			sys := needRealHost(t)
			if !hasCPUSets(h.root) {
				t.Skipf("no %s cpuset hierarchy at %s", h.name, h.root)
			}
			dir, err := os.MkdirTemp(h.root, "mllb-test-")
			if err != nil {
				t.Skipf("not allowed to make a cpuset: %v", err)
			}
			t.Cleanup(func() {
				removeGroup(t, dir)
			})
			h.prepare(t, h.root, dir)
			holdInCPUSet(t, sys, h.root, dir)
		})
	}
}

// TestCPUSetMadeAnew: the cgroup is removed and made again, with all in it, as
// when its service restarts.
func TestCPUSetMadeAnew(t *testing.T) {
	for _, h := range hierarchies {
		t.Run(h.name, func(t *testing.T) {
			sys := needRealHost(t)
			if !hasCPUSets(h.root) {
				t.Skipf("no %s cpuset hierarchy at %s", h.name, h.root)
			}
			dir, err := os.MkdirTemp(h.root, "mllb-test-")
			if err != nil {
				t.Skipf("not allowed to make a cpuset: %v", err)
			}
			t.Cleanup(func() { removeGroup(t, dir) })
			h.prepare(t, h.root, dir)
			c, err := newCPUSets(&Config{Root: "/", Sys: sys}, dir)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.ready(0); err != nil {
					t.Fatal(err)
				}
				if got := content(t, c.group(0)+"/cpuset.cpus"); got != "0" {
					t.Errorf("the group of CPU 0 has CPUs %q", got)
				}
				other, err := newCPUSets(&Config{Root: "/", Sys: sys}, dir)
				if err != nil {
					t.Fatal(err)
				}
				if err := other.close(); err != nil {
					t.Fatal(err)
				}
				removeGroup(t, dir)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				h.prepare(t, h.root, dir)
			}
		})
	}
}

func holdInCPUSet(t *testing.T, sys *linux, root, dir string) {
	session := startStorm(t)
	write(t, dir+"/cgroup.procs", strconv.Itoa(session))
	t.Cleanup(func() { emptyGroup(t, dir, root) })
	t.Cleanup(func() {
		if c, err := newCPUSets(&Config{Root: "/", Sys: sys}, dir); err != nil || c.close() != nil {
			t.Error("groups left behind")
		}
	})
	cfg := Config{StateDir: t.TempDir() + "/state", Kind: KindCPUSet, Cgroup: dir}
	e, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	holdAndClose(t, sys, e, session)
	t.Setenv("MLLB_CGROUP", dir)
	killLoop(t, sys, cfg.StateDir, session)
	if _, err := os.Stat(dir + "/" + groupName); !os.IsNotExist(err) {
		t.Errorf("the groups are still there: %v", err)
	}
}

// TestCPUSetOwner: the owner takes a CPU from its cpuset while threads are held
// on it, and is not refused.
func TestCPUSetOwner(t *testing.T) {
	needRealHost(t)
	h := hierarchies[0]
	if !hasCPUSets(h.root) {
		t.Skipf("no %s cpuset hierarchy at %s", h.name, h.root)
	}
	dir, err := os.MkdirTemp(h.root, "mllb-test-")
	if err != nil {
		t.Skipf("not allowed to make a cpuset: %v", err)
	}
	t.Cleanup(func() { removeGroup(t, dir) })
	h.prepare(t, h.root, dir)
	whole := content(t, dir+"/cpuset.cpus")
	session := startStorm(t)
	write(t, dir+"/cgroup.procs", strconv.Itoa(session))
	t.Cleanup(func() { emptyGroup(t, dir, h.root) })
	e, _, err := Open(Config{StateDir: t.TempDir() + "/state", Kind: KindCPUSet, Cgroup: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := e.mech.(*cpusets)
	if c.owner == nil {
		t.Skip("no fanotify permission events here")
	}
	for _, cpus := range []string{"0", whole, "1", whole} {
		e.mu.Lock()
		c.pause = time.Time{}
		for cpu := range int32(2) {
			if c.groups[cpu] || cpus == whole {
				continue
			}
			if err := c.ready(cpu); err != nil {
				t.Fatal(err)
			}
			if err := c.narrow(&record{ID: features.ID{TID: int32(session)}, CPU: cpu}); err != nil {
				t.Fatal(err)
			}
		}
		e.mu.Unlock()
		if out, err := exec.Command("sh", "-c", `echo "$1" > "$0/cpuset.cpus"`, dir, cpus).CombinedOutput(); err != nil {
			t.Errorf("the owner gives {%s}: %v %s", cpus, err, out)
		}
		if got := content(t, dir+"/cpuset.cpus"); got != cpus {
			t.Errorf("the cpuset has {%s}, its owner wants {%s}", got, cpus)
		}
		e.mu.Lock()
		if err := c.ready(0); !errors.Is(err, ErrChanged) {
			t.Errorf("a group right after that: %v", err)
		}
		e.mu.Unlock()
	}
	if r, err := e.Close(); err != nil || r.Failed > 0 {
		t.Errorf("%v, %v", r, err)
	}
}

// groupLimit is for what others must do, in an emulated guest too.
const groupLimit = time.Minute

// removeGroup waits for tasks that end: they leave their cgroup after their
// parent has heard of it.
func removeGroup(t *testing.T, dir string) {
	var err error
	for end := time.Now().Add(groupLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// emptyGroup moves the storm up until nothing is left to fork in the group.
func emptyGroup(t *testing.T, dir, to string) {
	for end := time.Now().Add(groupLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(dir + "/cgroup.procs")
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 {
			return
		}
		for pid := range strings.FieldsSeq(string(text)) {
			_ = os.WriteFile(to+"/cgroup.procs", []byte(pid), 0) // it may have ended
		}
	}
	t.Fatalf("%s is not empty after %v", dir, groupLimit)
}
