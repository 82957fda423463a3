// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mllb/features"
)

// A fixture of cgroupfs takes what is written and does nothing about it, so
// what the kernel would make of a new group is laid down before.
func cpusetFixture(t *testing.T, mounts, self string, files map[string]string) (*cpusets, string) {
	t.Helper()
	root := hostRoot(t, mounts, self, files)
	l, err := newLinux(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := root + "/sys/fs/cgroup/app"
	if mounts == v1Mounts {
		dir = root + "/sys/fs/cgroup/cpuset/app"
	}
	c, err := newCPUSets(&Config{Root: root, Sys: l}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(text))
}

func TestCPUSetV2(t *testing.T) {
	const app = "/sys/fs/cgroup/app"
	c, dir := cpusetFixture(t, v2Mounts, "0::/\n", map[string]string{
		app + "/cgroup.controllers": "cpuset cpu\n", app + "/cgroup.subtree_control": "cpu\n", app + "/cgroup.threads": "",
		app + "/sub/cgroup.threads":              "",
		app + "/mllb/cgroup.type":                "domain\n",
		app + "/mllb/cgroup.subtree_control":     "",
		app + "/mllb/cpuset-was-off/cgroup.type": "domain invalid\n",
		app + "/mllb/cpu3/cgroup.type":           "domain invalid\n",
		app + "/mllb/cpu3/cpuset.cpus":           "",
		app + "/mllb/cpu3/cgroup.threads":        "",
		"/proc/90/task/91/cgroup":                "0::/app/sub\n",
		"/proc/90/task/92/cgroup":                "0::/elsewhere\n",
		"/proc/90/task/93/cgroup":                "0::/app/mllb/cpu3\n",
	})
	if err := c.ready(3); err != nil {
		t.Fatal(err)
	}
	if err := c.narrow(&record{ID: features.ID{TID: 91}, CPU: 3}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"cgroup.subtree_control": "+cpuset", "mllb/cgroup.type": "threaded", "mllb/cgroup.subtree_control": "+cpuset",
		"mllb/cpu3/cgroup.type": "threaded", "mllb/cpu3/cpuset.cpus": "3", "mllb/cpu3/cgroup.threads": "91",
	} {
		if got := content(t, filepath.Join(dir, file)); got != want {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}
	checkOrigins(t, c, dir)
	r := testRecord(93, 3)
	for origin, file := range map[string]string{
		dir + "/sub":       "sub/cgroup.threads",
		dir + "/../sub":    "cgroup.threads", // a journal may say anything
		"/sys/fs/cgroup":   "cgroup.threads",
		dir + "/mllb/cpu3": "cgroup.threads",
		dir + "/has/ended": "cgroup.threads",
		dir + "evil":       "cgroup.threads",
	} {
		r.Origin = origin
		if err := c.widen(&r, 90, 93); err != nil {
			t.Errorf("back to %s: %v", origin, err)
		}
		path := filepath.Join(dir, file)
		if got := content(t, path); got != "93" {
			t.Errorf("back to %s: %s holds %q, want 93", origin, file, got)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.undo(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir+"/cgroup.subtree_control"); got != "-cpuset" {
		t.Errorf("in the end cgroup.subtree_control got %q", got)
	}
}

func checkOrigins(t *testing.T, c *cpusets, dir string) {
	t.Helper()
	for tid, want := range map[int32]struct {
		origin string
		err    error
		mine   bool
	}{
		91: {dir + "/sub", nil, false},
		92: {"", ErrOutside, false},
		93: {dir, nil, true},
		94: {"", ErrGone, false},
	} {
		origin, err := c.origin(90, tid)
		if origin != want.origin || !errors.Is(err, want.err) {
			t.Errorf("origin of %d: %q, %v; want %q, %v", tid, origin, err, want.origin, want.err)
		}
		if mine, _ := c.mine(90, tid); mine != want.mine {
			t.Errorf("thread %d: mine is %v", tid, mine)
		}
	}
}

func TestCPUSetErrors(t *testing.T) {
	root := hostRoot(t, v1Mounts+"35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "4:cpu:/\n3:cpuset:/\n0::/\n", map[string]string{
		"/sys/fs/cgroup/cpu/app/tasks": "", "/sys/fs/cgroup/unified/app/cgroup.controllers": "cpu memory\n",
		"/home/x": "",
	})
	l, err := newLinux(root)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Root: root, Sys: l}
	for dir, want := range map[string]string{
		"/sys/fs/cgroup/cpu/app":     "v1 cpu hierarchy",
		"/sys/fs/cgroup/cpuset/none": "no such file",
		"/home":                      "in no cgroup hierarchy",
		"/home/x":                    "not a directory",
	} {
		if _, err := newCPUSets(cfg, root+dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
	c, err := newCPUSets(cfg, root+"/sys/fs/cgroup/unified/app")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ready(0); err == nil || !strings.Contains(err.Error(), "+cpuset") {
		t.Errorf("without the controller: %v", err)
	}
}
