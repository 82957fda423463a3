// SPDX-License-Identifier: Apache-2.0

package denial

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBPF(t *testing.T) {
	const all, admin = ^uint64(0), uint64(1) << unix.CAP_SYS_ADMIN
	for name, c := range map[string]struct {
		facts Facts
		want  string
	}{
		"nobody":                     {Facts{}, "needs CAP_BPF and CAP_PERFMON"},
		"one capability":             {Facts{Caps: 1 << unix.CAP_BPF}, "needs CAP_PERFMON"},
		"a container of a user":      {Facts{Caps: all, UserNS: true}, "in a user namespace"},
		"nobody in a user namespace": {Facts{UserNS: true}, "in a user namespace"},
		"seccomp":                    {Facts{Caps: all, Filtered: true, BPFDenied: true}, "a seccomp filter denies bpf(2)"},
		"a filter for others":        {Facts{Caps: all, Filtered: true, Lockdown: "confidentiality"}, "the kernel is locked down"},
		"a security module":          {Facts{Caps: all, BPFDenied: true}, "a security module denies bpf(2)"},
		"locked down":                {Facts{Caps: admin, Lockdown: "confidentiality"}, "the kernel is locked down"},
		"locked down, not so far":    {Facts{Caps: admin, Lockdown: "integrity"}, "the kernel itself refuses"},
		"nothing":                    {Facts{Caps: admin, Lockdown: "none"}, "the kernel itself refuses"},
	} {
		err := c.facts.BPF(unix.EPERM)
		if !strings.Contains(err.Error(), c.want) || !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if reason, change, ok := Explain(err); !ok || change == "" || !strings.Contains(reason, c.want) {
			t.Errorf("%s: %q, %q", name, reason, change)
		}
	}
}

// TestFacts: root of the first user namespace may ask bpf(2), and can tell how far
// the kernel is locked down, also where securityfs is not mounted.
func TestFacts(t *testing.T) {
	f := ReadFacts()
	if missing := Missing(f.Caps, CapBPF, CapPerfmon); missing != "" || f.UserNS || f.Filtered {
		t.Skipf("not root of a bare host: %+v", f)
	}
	if f.BPFDenied {
		t.Error("bpf(2) is denied to root")
	}
	text, err := unmounted("securityfs", "lsm")
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skip("no securityfs: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if locked := strings.Contains(string(text), "lockdown"); locked != (f.Lockdown != "") {
		t.Errorf("security modules %s; lockdown %q", text, f.Lockdown)
	}
}

// TestOthers: root of a user namespace may do as it likes with the threads in it only.
func TestOthers(t *testing.T) {
	have, err := Capabilities()
	if err != nil || Missing(have, CapSysNice) != "" {
		t.Skip("needs CAP_SYS_NICE: run as root")
	}
	const here, elsewhere = "user:[4026532000]", "user:[4026532001]"
	for name, c := range map[string]struct {
		own, first string
		want       bool
	}{
		"the host":              {initialUserNS, initialUserNS, true},
		"a container":           {here, here, true},
		"among the host's":      {here, initialUserNS, false},
		"another's":             {here, elsewhere, false},
		"the first is not ours": {here, "", false},
	} {
		root := t.TempDir()
		for process, ns := range map[string]string{"self": c.own, "1": c.first} {
			dir := filepath.Join(root, "proc", process, "ns")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if ns == "" {
				continue
			}
			if err := os.Symlink(ns, filepath.Join(dir, "user")); err != nil {
				t.Fatal(err)
			}
		}
		if err := Others(root); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
