// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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
			dir := fmt.Sprintf("%s/mllb-test-%d", h.root, os.Getpid())
			if err := os.Mkdir(dir, 0o755); err != nil {
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
}
