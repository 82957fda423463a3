// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes a host's root directory of two CPUs, with what files add.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"sys/devices/system/cpu/online":                             "0-1",
		"sys/devices/system/cpu/possible":                           "0-1",
		"sys/devices/system/cpu/present":                            "0-1",
		"sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0",
		"sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1",
		"sys/devices/system/cpu/cpu0/topology/physical_package_id":  "0",
		"sys/devices/system/cpu/cpu1/topology/physical_package_id":  "0",
		"sys/devices/system/cpu/cpu0/topology/core_cpus_list":       "0",
		"sys/devices/system/cpu/cpu1/topology/core_cpus_list":       "1",
		"sys/devices/system/cpu/cpu0/topology/package_cpus_list":    "0-1",
		"sys/devices/system/cpu/cpu1/topology/package_cpus_list":    "0-1",
		"sys/devices/system/cpu/cpu0/cache/index3/level":            "3",
		"sys/devices/system/cpu/cpu0/cache/index3/type":             "Unified",
		"sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list":  "0-1",
		"sys/devices/system/cpu/cpu1/cache/index3/level":            "3",
		"sys/devices/system/cpu/cpu1/cache/index3/type":             "Unified",
		"sys/devices/system/cpu/cpu1/cache/index3/shared_cpu_list":  "0-1",
		"proc/sys/kernel/hostname":                                  "fixture",
		"proc/sys/kernel/osrelease":                                 "6.12.0",
	}
	for path, text := range files {
		all[path] = text
	}
	for path, text := range all {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestReadMachine(t *testing.T) {
	root := tree(t, map[string]string{
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_driver":   "intel_pstate",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
		"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
		"sys/devices/system/cpu/intel_pstate/no_turbo":         "0",
		"sys/devices/system/cpu/vulnerabilities/meltdown":      "Mitigation: PTI",
		"sys/kernel/debug/sched/features":                      "GENTLE_FAIR_SLEEPERS NO_HRTICK",
		"proc/sys/kernel/sched_migration_cost_ns":              "500000",
		"sys/kernel/sched_ext/state":                           "disabled",
		"proc/sys/kernel/numa_balancing":                       "1",
		"proc/cmdline":                                         "root=/dev/sda1 password=secret mitigations=off isolcpus=3 quiet",
		"proc/loadavg":                                         "1.50 0.70 0.20 3/400 1234",
		"proc/meminfo":                                         "MemTotal:       16384000 kB\nMemFree: 1 kB",
		"proc/stat":                                            "cpu  100 0 50 800 0 0 0 50 30 0\ncpu0 1 2 3",
		"proc/cpuinfo":                                         "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: Another",
	})
	m, err := ReadMachine(root)
	if err != nil {
		t.Fatal(err)
	}
	want := Machine{
		Host: "fixture", Kernel: "6.12.0", CPU: "A CPU", CPUs: 2, Topology: "2 CPUs, 2 cores, 1 last-level cache, 1 node", MemoryKB: 16384000, Virtual: true,
		Driver: "intel_pstate", Governor: []string{"performance", "powersave"}, Turbo: "on", Load: [3]float64{1.5, 0.7, 0.2}, Steal: 0.05, NUMA: "1",
		SchedExt: "disabled", Command: []string{"mitigations=off", "isolcpus=3"}, Bugs: map[string]string{"meltdown": "Mitigation: PTI"},
		Sched: map[string]string{"features": "GENTLE_FAIR_SLEEPERS NO_HRTICK", "migration_cost_ns": "500000"},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text := strings.Join(m.Warnings(), "\n")
	for _, w := range []string{"virtual machine", "governor is powersave", "turbo is on", "load average is 1.50 on 2 CPUs", "5.0 % of all CPU time"} {
		if !strings.Contains(text, w) {
			t.Errorf("no warning of %q:\n%s", w, text)
		}
	}
	if strings.Contains(text, "governor is performance") {
		t.Error("a warning of what is right")
	}
}

// A host that says little, or nonsense, is described as far as it goes.
func TestReadMachineOfLittle(t *testing.T) {
	m, err := ReadMachine(tree(t, map[string]string{"proc/stat": "cpu 1 2 x 4 5 6 7 8", "proc/meminfo": "MemTotal", "proc/loadavg": "busy", "sys/devices/system/cpu/cpufreq/boost": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	if m.Steal.Known() || m.MemoryKB != 0 || m.Turbo != "off" || m.CPU != "" || len(m.Warnings()) != 0 {
		t.Errorf("%+v: %q", m, m.Warnings())
	}
	if _, err := ReadMachine(t.TempDir()); err == nil {
		t.Error("a directory that is no host is one")
	}
}
