// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnequalShares(t *testing.T) {
	top := t.TempDir()
	write := func(dir string, files map[string]string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(top, dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("", map[string]string{"cgroup.procs": ""})
	write("usual", map[string]string{"cpu.weight": "100\n", "cpu.max": "max 100000\n", "cpu.idle": "0\n"})
	write("usual/half", map[string]string{"cpu.weight": "50\n", "cpu.max": "20000 100000\n", "cpu.idle": "0\n"})
	write("idle", map[string]string{"cpu.idle": "1\n"})
	write("v1", map[string]string{"cpu.shares": "1024\n", "cpu.cfs_quota_us": "-1\n"})
	write("v1/more", map[string]string{"cpu.shares": "2048\n", "cpu.cfs_quota_us": "-1\n"})
	dirs, err := AllWithCPU("/", top)
	if err != nil || len(dirs) != 6 {
		t.Fatalf("%d cgroups, %v", len(dirs), err)
	}
	var want []string
	for _, s := range []string{"idle: cpu.idle 1", "usual/half: cpu.weight 50, cpu.max 20000 100000", "v1/more: cpu.shares 2048"} {
		want = append(want, filepath.Join(top, s))
	}
	if diff := cmp.Diff(want, UnequalShares(dirs)); diff != "" {
		t.Error(diff)
	}
}
