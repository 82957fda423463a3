// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/topology"
)

func TestParseMemberships(t *testing.T) {
	got, err := ParseMemberships([]byte("4:cpu,cpuacct:/a:b\n1:name=systemd:/\n0::/x y\n"))
	want := []Membership{
		{4, []byte("cpu,cpuacct"), []byte("/a:b")}, {1, []byte("name=systemd"), []byte("/")}, {0, []byte{}, []byte("/x y")},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"4:cpu\n", "x:cpu:/\n", "-1::/\n", "0::x\n", "0::\n", "\n"} {
		if _, err := ParseMemberships([]byte("7:a:/\n" + bad)); err == nil || !strings.Contains(err.Error(), "ID:CONTROLLERS:/PATH") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzMemberships(f *testing.F) {
	f.Add([]byte("3:cpuset:/a:b\n0::/x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseMemberships(text)
		for _, m := range all {
			if err != nil || m.Hierarchy < 0 || m.Path[0] != '/' || !bytes.Contains(text, m.Path) {
				t.Errorf("%q: %+v, %v", text, m, err)
			}
		}
	})
}

// CutMembership is called for every thread at every tick.
func TestCutMembershipAllocs(t *testing.T) {
	text := []byte("3:cpuset:/a:b\n0::/x\n")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = CutMembership(text) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestAbove(t *testing.T) {
	const cg = "/sys/fs/cgroup"
	for _, tt := range []struct {
		name, thread, controller string
		host                     host
		want                     []string
	}{
		{"v2", "0::/a/b\n", "pids", v2, []string{cg + "/a/b", cg + "/a"}},
		{"v2 root", "0::/\n", "pids", v2, nil},
		{"v1", "7:cpuset:/a/b\n4:cpu,cpuacct:/c\n", "cpuset", v1, []string{cg + "/cpuset/a/b", cg + "/cpuset/a"}},
		{"v1 of two controllers", "7:cpuset:/a\n4:cpu,cpuacct:/c\n", "cpuacct", v1, []string{cg + "/cpu,cpuacct/c"}},
		{"v1 without the controller", "7:cpuset:/a\n", "pids", v1, nil},
		{"hybrid", "7:cpuset:/a\n0::/b\n", "pids", hybrid, []string{cg + "/unified/b"}},
		{"a container", "0::/docker/c1/x\n", "pids", bind, []string{"/my cg/x"}},
		{"outside of the container", "0::/docker/c2\n", "pids", bind, nil},
		{"not mounted", "0::/a\n", "pids", none, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tt.host.build(t)
			mounts, err := Mounts(root)
			if err != nil {
				t.Fatal(err)
			}
			thread, err := ParseMemberships([]byte(tt.thread))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, dir := range Above(mounts, thread, tt.controller) {
				got = append(got, strings.TrimPrefix(dir, root))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOwn(t *testing.T) {
	root := v2.build(t)
	if err := os.WriteFile(root+"/proc/42/cgroup", []byte("0::/user.slice/a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Own(root, "pids")
	if diff := cmp.Diff([]string{root + "/sys/fs/cgroup/user.slice/a", root + "/sys/fs/cgroup/user.slice"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := Own(t.TempDir(), "pids"); err == nil {
		t.Error("without /proc: no error")
	}
}

func TestEffectiveCPUs(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		want             topology.CPUSet
		err              string
	}{
		{"v2", "cpuset.cpus.effective", "0-3,8\n", topology.NewCPUSet(0, 1, 2, 3, 8), ""},
		{"v1", "cpuset.effective_cpus", "1\n", topology.NewCPUSet(1), ""},
		{"v1 with noprefix", "effective_cpus", "2\n", topology.NewCPUSet(2), ""},
		{"none", "cpuset.cpus", "0\n", nil, "has no cpuset"},
		{"malformed", "cpuset.cpus.effective", "x\n", nil, "cpuset.cpus.effective: "},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := EffectiveCPUs(dir)
		if !got.Equal(tt.want) || tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: {%s}, %v; want {%s} or an error with %q", tt.name, got, err, tt.want, tt.err)
		}
		if (tt.name == "none") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestCpusetOf: what the cpuset of a thread allows, and whether the kernel
// balances its CPUs.
func TestCpusetOf(t *testing.T) {
	const cg = "/sys/fs/cgroup"
	for _, tt := range []struct {
		name, thread string
		host         host
		files        map[string]string
		cpus         string // "": nothing bounds it
		unbalanced   bool
	}{
		{"v2 root", "0::/\n", v2, nil, "", false},
		{"v2", "0::/user.slice/a\n", v2, map[string]string{cg + "/user.slice/a/cpuset.cpus.effective": "4-7", cg + "/user.slice/a/cpuset.cpus.partition": "member"}, "4-7", false},
		{"v2, of the one above", "0::/user.slice/a\n", v2, map[string]string{cg + "/user.slice/cpuset.cpus.effective": "2-3"}, "2-3", false},
		{"v2 without cpusets", "0::/user.slice/a\n", v2, nil, "", false},
		{"isolated partition", "0::/user.slice\n", v2, map[string]string{cg + "/user.slice/cpuset.cpus.effective": "7", cg + "/user.slice/cpuset.cpus.partition": "isolated"}, "7", true},
		{"below one", "0::/user.slice/a\n", v2, map[string]string{cg + "/user.slice/cpuset.cpus.partition": "isolated\n", cg + "/user.slice/a/cpuset.cpus.partition": "member"}, "", true},
		{"an invalid one", "0::/user.slice\n", v2, map[string]string{cg + "/user.slice/cpuset.cpus.partition": "isolated invalid (Parent is not a partition root)"}, "", false},
		{"partition root below an isolated one", "0::/user.slice/a\n", v2, map[string]string{cg + "/user.slice/cpuset.cpus.partition": "isolated", cg + "/user.slice/a/cpuset.cpus.partition": "root"}, "", false},
		{"v1", "7:cpuset:/app\n", v1, map[string]string{cg + "/cpuset/app/cpuset.effective_cpus": "1", cg + "/cpuset/app/cpuset.sched_load_balance": "0", cg + "/cpuset/cpuset.sched_load_balance": "1"}, "1", false},
		{"v1 without balancing", "7:cpuset:/app\n", v1, map[string]string{cg + "/cpuset/app/cpuset.sched_load_balance": "0", cg + "/cpuset/cpuset.sched_load_balance": "0"}, "", true},
		{"v1 balanced by itself", "7:cpuset:/app\n", v1, map[string]string{cg + "/cpuset/app/cpuset.sched_load_balance": "1", cg + "/cpuset/cpuset.sched_load_balance": "0"}, "", false},
		{"v1 of another controller", "4:cpu,cpuacct:/app\n", v1, map[string]string{cg + "/cpuset/app/cpuset.effective_cpus": "1"}, "", false},
	} {
		root := tt.host.build(t)
		for name, text := range tt.files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(root+name), 0o755), os.WriteFile(root+name, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		mounts, err := Mounts(root)
		if err != nil {
			t.Fatal(err)
		}
		of, err := ParseMemberships([]byte(tt.thread))
		if err != nil {
			t.Fatal(err)
		}
		cpus, err := CPUs(mounts, of)
		if err != nil || cpus.String() != tt.cpus || Balanced(mounts, of) == tt.unbalanced {
			t.Errorf("%s: {%s}, %v, balanced %v; want {%s}, %v", tt.name, cpus, err, Balanced(mounts, of), tt.cpus, !tt.unbalanced)
		}
	}
}
