// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mllb/internal/number"
	"mllb/internal/procfile"
	"mllb/topology"
)

// Machine is the state in which measurements were begun, as far as it bears on
// them. What this host does not say is empty.
type Machine struct {
	Host     string            `json:"host"`
	Kernel   string            `json:"kernel"` // uname -r
	CPU      string            `json:"cpu"`
	CPUs     int               `json:"cpus"` // online
	Topology string            `json:"topology"`
	MemoryKB uint64            `json:"memory_kb"`
	Virtual  bool              `json:"virtual"`            // the CPU says that there is a hypervisor
	Driver   string            `json:"driver,omitempty"`   // of the CPUs' frequency
	Governor []string          `json:"governor,omitempty"` // all that some CPU has
	Turbo    string            `json:"turbo,omitempty"`    // on or off
	Load     [3]float64        `json:"load"`               // at the start
	Steal    number.Num        `json:"steal"`              // share of all CPU time since boot
	NUMA     string            `json:"numa_balancing,omitempty"`
	SchedExt string            `json:"sched_ext,omitempty"` // state
	Command  []string          `json:"command_line,omitempty"`
	Bugs     map[string]string `json:"vulnerabilities,omitempty"`
	Sched    map[string]string `json:"sched,omitempty"` // /sys/kernel/debug/sched
}

// bootParameters are those that bear on scheduling and speed.
var bootParameters = []string{"mitigations", "isolcpus", "nohz_full", "nohz", "rcu_nocbs", "nosmt", "preempt", "threadirqs", "numa_balancing",
	"idle", "processor.max_cstate", "intel_idle.max_cstate", "intel_pstate", "amd_pstate", "transparent_hugepage", "skew_tick", "sched_", "schedstats", "maxcpus", "nr_cpus"}

// schedTunables are files of /sys/kernel/debug/sched, or of /proc/sys/kernel as
// sched_NAME where kernels have them there.
var schedTunables = []string{"features", "preempt", "base_slice_ns", "migration_cost_ns", "nr_migrate", "tunable_scaling", "latency_ns",
	"min_granularity_ns", "wakeup_granularity_ns"}

// ReadMachine looks at the host below root.
func ReadMachine(root string) (Machine, error) {
	t, err := topology.Read(root)
	if err != nil {
		return Machine{}, err
	}
	f := files(root)
	m := Machine{
		Host: f.line("proc/sys/kernel/hostname"), Kernel: f.line("proc/sys/kernel/osrelease"), CPUs: t.Online.Count(), Topology: t.String(),
		Driver: f.line("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"), Governor: f.distinct("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"),
		NUMA: f.line("proc/sys/kernel/numa_balancing"),
		Bugs: f.all("sys/devices/system/cpu/vulnerabilities/*"), Sched: map[string]string{},
	}
	m.SchedExt, _, _ = procfile.SchedExt(root)
	m.CPU, m.Virtual = f.cpu()
	m.MemoryKB = f.memory()
	m.Turbo = f.turbo()
	m.Load, m.Steal = f.load(), f.steal()
	for _, p := range strings.Fields(f.line("proc/cmdline")) {
		if slices.ContainsFunc(bootParameters, func(known string) bool { return strings.HasPrefix(p, known) }) {
			m.Command = append(m.Command, p)
		}
	}
	for _, name := range schedTunables {
		for _, path := range []string{"sys/kernel/debug/sched/" + name, "proc/sys/kernel/sched_" + name} {
			if text := f.line(path); text != "" {
				m.Sched[name] = text
			}
		}
	}
	return m, nil
}

// Warnings say what in the machine's state makes times spread or mean less.
func (m *Machine) Warnings() (w []string) {
	if m.Virtual {
		w = append(w, "this is a virtual machine: times also depend on when its host runs it")
	}
	for _, g := range m.Governor {
		if g != "performance" {
			w = append(w, fmt.Sprintf("the frequency governor is %s, not performance: the clock follows the load", g))
		}
	}
	if m.Turbo == "on" {
		w = append(w, "turbo is on: the clock depends on temperature and on the number of busy cores")
	}
	if m.Load[0] > 0.1*float64(m.CPUs) {
		w = append(w, fmt.Sprintf("the load average is %.2f on %s: other work is running here", m.Load[0], number.Of(m.CPUs, "CPU")))
	}
	if m.Steal > 0.001 {
		w = append(w, fmt.Sprintf("%s of all CPU time since boot was stolen by the hypervisor", percent(m.Steal)))
	}
	return w
}

// files is a host's root directory. What cannot be read is empty.
type files string

func (f files) line(path string) string {
	b, err := os.ReadFile(filepath.Join(string(f), path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// all maps the names of files to their text.
func (f files) all(glob string) map[string]string {
	m := make(map[string]string)
	paths, err := filepath.Glob(filepath.Join(string(f), glob))
	if err != nil {
		return m
	}
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			m[filepath.Base(p)] = strings.TrimSpace(string(b))
		}
	}
	return m
}

func (f files) distinct(glob string) (texts []string) {
	paths, err := filepath.Glob(filepath.Join(string(f), glob))
	if err != nil {
		return nil
	}
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			texts = append(texts, strings.TrimSpace(string(b)))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// cpu reads the first CPU's model, and whether its flags name a hypervisor.
func (f files) cpu() (model string, virtual bool) {
	for line := range strings.Lines(f.line("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			virtual = slices.Contains(strings.Fields(value), "hypervisor")
		case "":
			return model, virtual
		}
	}
	return model, virtual
}

func (f files) memory() uint64 {
	fields := strings.Fields(f.line("proc/meminfo"))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		return 0
	}
	n, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// turbo asks intel_pstate, then any other driver.
func (f files) turbo() string {
	for _, p := range []struct{ file, on string }{
		{"sys/devices/system/cpu/intel_pstate/no_turbo", "0"}, {"sys/devices/system/cpu/cpufreq/boost", "1"},
	} {
		if text := f.line(p.file); text != "" {
			if text == p.on {
				return "on"
			}
			return "off"
		}
	}
	return ""
}

func (f files) load() [3]float64 {
	load, _ := procfile.ParseLoad([]byte(f.line("proc/loadavg"))) // 0 where the kernel says nothing sensible
	return load
}

// steal is the share of all CPU time.
func (f files) steal() number.Num {
	t, err := procfile.ParseCPUTime([]byte(f.line("proc/stat")))
	if err != nil {
		return number.Unknown
	}
	return number.Num(float64(t.Steal) / max(float64(t.Total), 1))
}
