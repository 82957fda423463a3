// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// root makes a tree of small files.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	cpuPossible  = "sys/devices/system/cpu/possible"
	nodePossible = "sys/devices/system/node/possible"
	numaSysctl   = "proc/sys/kernel/numa_balancing"
	costDebugfs  = "sys/kernel/debug/sched/migration_cost_ns"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name        string
		files       map[string]string
		opt         Options
		cpus, nodes int
		err         string
	}{
		{"read", map[string]string{cpuPossible: "0-55\n", nodePossible: "0-1\n"}, Options{}, 56, 2, ""},
		{"hole", map[string]string{cpuPossible: "0-3,8-11\n", nodePossible: "0,8\n"}, Options{}, 12, 9, ""},
		{"no NUMA", map[string]string{cpuPossible: "0\n"}, Options{}, 1, 1, ""},
		{"given", nil, Options{CPUs: 4, Nodes: 3}, 4, 3, ""},
		{"no sysfs", nil, Options{}, 0, 0, "cpu/possible"},
		{"hostile", map[string]string{cpuPossible: "0-99999\n"}, Options{}, 0, 0, "over the limit"},
		{"empty", map[string]string{cpuPossible: "\n"}, Options{}, 0, 0, "out of range"},
		{"negative", nil, Options{CPUs: 1, Nodes: 1, Hierarchy: -1}, 0, 0, "hierarchy -1"},
		{"too many", nil, Options{CPUs: 8193, Nodes: 1}, 0, 0, "8193 cpus"},
	} {
		opt := tt.opt
		opt.Root = root(t, tt.files)
		err := opt.complete()
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || opt.CPUs != tt.cpus || opt.Nodes != tt.nodes {
			t.Errorf("%s: %d cpus, %d nodes, %v; want %d, %d", tt.name, opt.CPUs, opt.Nodes, err, tt.cpus, tt.nodes)
		}
	}
}

func TestTunables(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		numa  bool
		cost  int64
		err   string
	}{
		{"none", nil, false, 500_000, ""},
		{"on", map[string]string{numaSysctl: "1\n", costDebugfs: "250000\n"}, true, 250_000, ""},
		{"tiering", map[string]string{numaSysctl: "2\n"}, true, 500_000, ""},
		{"off, never hot", map[string]string{numaSysctl: "0\n", costDebugfs: "0\n"}, false, 0, ""},
		{"always hot", map[string]string{costDebugfs: "4294967295\n"}, false, -1, ""},
		{"garbage", map[string]string{numaSysctl: "yes\n"}, false, 0, `"yes\n" is not a number`},
		{"too large", map[string]string{costDebugfs: "4294967296\n"}, false, 0, "not a number"},
		{"empty", map[string]string{costDebugfs: ""}, false, 0, "not a number"},
	} {
		tn := newTunables(root(t, tt.files))
		err := tn.refresh(1)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || tn.numaBalancing != tt.numa || tn.migrationCost != tt.cost {
			t.Errorf("%s: numa %v, cost %d, %v", tt.name, tn.numaBalancing, tn.migrationCost, err)
		}
		if _, ok := tt.files[costDebugfs]; ok == (tn.costErr != nil) {
			t.Errorf("%s: costErr = %v", tt.name, tn.costErr)
		}
	}
}

func TestTunablesRefresh(t *testing.T) {
	dir := root(t, map[string]string{numaSysctl: "0"})
	tn := newTunables(dir)
	for _, step := range []struct {
		now  int64
		text string
		want bool
	}{{1, "0", false}, {refreshNS, "1", false}, {1 + refreshNS, "1", true}, {2 + refreshNS, "0", true}} {
		if err := os.WriteFile(filepath.Join(dir, numaSysctl), []byte(step.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tn.refresh(step.now); err != nil || tn.numaBalancing != step.want {
			t.Errorf("at %d: %v, %v; want %v", step.now, tn.numaBalancing, err, step.want)
		}
	}
}

func FuzzTunable(f *testing.F) {
	f.Add([]byte("500000\n"))
	f.Add([]byte("-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseTunable("f", text)
		if err == nil && strings.TrimLeft(strings.TrimSpace(string(text)), "0") != strings.TrimLeft(fmt.Sprint(v), "0") {
			t.Errorf("parseTunable(%q) = %d", text, v)
		}
	})
}

func TestNamespace(t *testing.T) {
	for ns, want := range map[string]error{initialPIDNamespace: nil, "pid:[4026532000]": ErrNamespace} {
		dir := root(t, map[string]string{"proc/self/ns/mnt": ""})
		if err := os.Symlink(ns, filepath.Join(dir, "proc/self/ns/pid")); err != nil {
			t.Fatal(err)
		}
		if err := checkNamespace(dir); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ns, err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	spec, err := loadForks()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Variables[forksVarVersion].Set(uint32(version + 1)); err != nil {
		t.Fatal(err)
	}
	if err := checkVersion(spec); !errors.Is(err, ErrVersion) {
		t.Errorf("an object of another version: %v", err)
	}
}

func TestExplainVerifier(t *testing.T) {
	err := explain(fmt.Errorf("load: %w", &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"R1 invalid mem access"}}))
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "the verifier refuses") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
}

// TestProbeUnprivileged runs itself as nobody: both probes must say in one
// line which capabilities are missing.
func TestProbeUnprivileged(t *testing.T) {
	if os.Getuid() == 0 {
		skipUnless(t, Probe(Options{})) // nor would nobody be told of capabilities
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestProbeUnprivileged$", "-test.v")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
		return
	}
	for name, err := range map[string]error{"snapshots": Probe(Options{}), "forks": ProbeForks()} {
		if !errors.Is(err, unix.EPERM) {
			t.Skipf("%s: not refused for lack of capabilities: %v", name, err)
		}
		if !strings.Contains(err.Error(), "needs CAP_BPF and CAP_PERFMON") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q", name, err)
		}
	}
}
