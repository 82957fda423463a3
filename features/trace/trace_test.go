// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"mllb/features"
	"mllb/topology"
)

func TestParseVersion(t *testing.T) {
	for release, want := range map[string]version{
		"6.12.117+deb12-amd64 #1 SMP": {6, 12}, "7.2-rc1": {7, 2}, "6.1": {6, 1},
	} {
		if got, err := parseVersion(release); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", release, got, err, want)
		}
	}
	for _, release := range []string{"", "linux", "6", "6.", ".1", "-6.1", "6.-1"} {
		if got, err := parseVersion(release); err == nil {
			t.Errorf("%q: %v", release, got)
		}
	}
	if v := (version{6, 12}); v.before(version{6, 12}) || !v.before(version{6, 13}) || !v.before(version{7, 0}) || v.before(version{6, 1}) || v.before(version{}) {
		t.Error("before")
	}
}

func TestFindFlags(t *testing.T) {
	old := map[string]uint32{"SD_SHARE_CPUCAPACITY": 0x80, "SD_SHARE_PKG_RESOURCES": 0x100, "SD_NUMA": 0x2000}
	f, err := findFlags(old)
	if err != nil || f.named(0x2180) != features.ShareCPUCapacity|features.ShareLLC|features.SDNUMA || f.named(0xde7f) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	delete(old, "SD_SHARE_PKG_RESOURCES")
	if _, err := findFlags(old); err == nil || !strings.Contains(err.Error(), "no SD_SHARE_LLC or SD_SHARE_PKG_RESOURCES") {
		t.Error(err)
	}
}

// TestRunningKernel looks everything up in the BTF of whatever runs here.
func TestRunningKernel(t *testing.T) {
	if _, err := btf.LoadKernelSpec(); err != nil {
		t.Skipf("no BTF: %v", err)
	}
	k, err := readKernel()
	if err != nil {
		t.Fatal(err)
	}
	if f := k.flags; f.capacity&(f.capacity-1)|f.llc&(f.llc-1)|f.numa&(f.numa-1) != 0 {
		t.Errorf("flags of several bits: %+v", f)
	}
	// Known of 6.18 and before, and of 7.2 and after.
	if old := k.version.before(version{6, 19}); old && k.percpuGroups || !k.version.before(version{7, 2}) && !k.percpuGroups {
		t.Errorf("per-CPU groups: %v on %s", k.percpuGroups, k.release)
	}
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	if v, err := enumOf(spec, "MLLB_NO_SUCH_VALUE"); err == nil {
		t.Errorf("found %v", v)
	}
}

func TestSiblings(t *testing.T) {
	topo, err := topology.Parse("2x2x4")
	if err != nil {
		t.Fatal(err)
	}
	next, err := siblings(topo)
	if err != nil {
		t.Fatal(err)
	}
	for cpu := range topo.CPUs {
		seen := topology.NewCPUSet(cpu)
		for c := int(next[cpu]); c != cpu; c = int(next[c]) {
			seen.Add(c)
		}
		if want := topo.Cores[topo.CPUs[cpu].Core]; !seen.Equal(want) {
			t.Errorf("cpu %d is on a ring of %v, want %v", cpu, seen, want)
		}
	}
	if n := len(topo.CPUs); int(next[n]) != n {
		t.Errorf("cpu %d does not exist and has sibling %d", n, next[n])
	}
}

func TestSchedstats(t *testing.T) {
	for _, tt := range []struct{ name, was, now, after, err string }{
		{"off", "0\n", "1\n", "0\n", ""},
		{"on", "1\n", "1\n", "1\n", ""},
		{"garbage", "yes\n", "yes\n", "", `"yes" is neither 0 nor 1`},
		{"missing", "", "", "", "CONFIG_SCHEDSTATS"},
	} {
		root := t.TempDir()
		path := filepath.Join(root, "proc/sys/kernel/sched_schedstats")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if tt.was != "" {
			if err := os.WriteFile(path, []byte(tt.was), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		restore, err := enableSchedstats(root)
		if got, _ := os.ReadFile(path); string(got) != tt.now {
			t.Errorf("%s: then %q, want %q", tt.name, got, tt.now)
		}
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := restore(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got, _ := os.ReadFile(path); string(got) != tt.after {
			t.Errorf("%s: in the end %q, want %q", tt.name, got, tt.after)
		}
	}
}

func TestCounters(t *testing.T) {
	c := Counters{Calls: 21, Records: 1, Filtered: 2, Full: 3, Unpaired: 5, Missed: 10}
	if err := c.Check(); err != nil || c.Drops() != 18 {
		t.Errorf("%v, %d drops", err, c.Drops())
	}
	c.Calls++
	if err := c.Check(); err == nil || err.Error() != "22 calls are not 1 records + 2 filtered + 18 drops" {
		t.Error(err)
	}
}

// TestRefusal asks for what this kernel may refuse: then in one line, with the
// reason for each way, and with schedstats as they were.
func TestRefusal(t *testing.T) {
	before, _ := os.ReadFile("/proc/sys/kernel/sched_schedstats")
	tr, err := Open(Options{})
	if err == nil {
		tr.Close()
		t.Skip("this kernel lets itself be traced")
	}
	t.Log(err)
	if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "trace decisions: ") {
		t.Errorf("%q", err)
	}
	if after, _ := os.ReadFile("/proc/sys/kernel/sched_schedstats"); string(after) != string(before) {
		t.Errorf("schedstats %q, were %q", after, before)
	}
	k, err := readKernel()
	if err != nil {
		t.Skip(err)
	}
	topo, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openProbes(Options{Ring: 4096}, k, topo, 1)
	if err == nil {
		p.close()
		t.Skip("this kernel allows the probes")
	}
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "fentry: ") || !strings.Contains(err.Error(), "kprobe: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
}

// TestClosed uses a tracer that was never open.
func TestClosed(t *testing.T) {
	tr := &Tracer{}
	if err := errors.Join(tr.Stop(), tr.Close(), tr.Close()); err != nil {
		t.Error(err)
	}
	if _, err := tr.Read(nil, 1); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
