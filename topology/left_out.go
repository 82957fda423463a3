// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// LeftOut are CPUs that are online, but that the kernel's balancer leaves alone
// or should: no thread comes to them by balancing, and no domain holds them.
type LeftOut struct {
	CPUs CPUSet `json:"cpus"`
	Why  string `json:"why"`
}

// Why CPUs are left out.
const (
	isolated = "isolated"        // isolcpus=, and cpuset partitions
	tickless = "nohz_full"       // a second thread would bring the tick back
	noDomain = "no sched domain" // isolated by cpusets: a partition, or sched_load_balance off
)

const (
	schedstat = "proc/schedstat"
	// isolatedPartitions lists the CPUs of isolated cpuset partitions: since 6.7, in the root
	// cgroup of v2 only (kernel/cgroup/cpuset.c). cpu/isolated has them since 6.19, and
	// schedstat shows that they lack a domain, but CONFIG_SCHEDSTATS may be off.
	isolatedPartitions = "sys/fs/cgroup/cpuset.cpus.isolated"
)

// ReadLeftOut reads which of the online CPUs of the host below root are left
// out now. While the kernel rebuilds its domains it shows none for a moment, so
// what changed is to be read twice before it is believed.
func ReadLeftOut(root string, online CPUSet) ([]LeftOut, error) {
	return readLeftOut(os.DirFS(root), online)
}

func readLeftOut(fsys fs.FS, online CPUSet) (out []LeftOut, err error) {
	rest := online.Clone()
	for _, from := range []struct {
		why  string
		read func() (CPUSet, error)
	}{
		{isolated, func() (CPUSet, error) { return readIsolated(fsys) }},
		{noDomain, func() (CPUSet, error) { return readDomainless(fsys, rest) }},
		{tickless, func() (CPUSet, error) { return readOptional(fsys, path.Join(cpuDir, "nohz_full")) }},
	} {
		set, err := from.read()
		if err != nil {
			return nil, err
		}
		if set = set.And(rest); set.Empty() {
			continue
		}
		out = append(out, LeftOut{set, from.why})
		for cpu := range set.All() {
			rest.Remove(cpu)
		}
	}
	return out, nil
}

// readIsolated reads which CPUs are isolated, by the command line or by a partition.
func readIsolated(fsys fs.FS) (CPUSet, error) {
	booted, err := readOptional(fsys, path.Join(cpuDir, "isolated"))
	if err != nil {
		return nil, err
	}
	later, err := readOptional(fsys, isolatedPartitions)
	return booted.Or(later), err
}

// readOptional reads a list that old kernels lack. Where no CPU is tickless some
// write the bitmap that they do not have as "(null)" (print_cpus_nohz_full,
// drivers/base/cpu.c).
func readOptional(fsys fs.FS, name string) (CPUSet, error) {
	text, err := readText(fsys, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && text == "(null)" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	set, err := ParseCPUList(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// readDomainless reads which CPUs have no sched domain: show_schedstat
// (kernel/sched/stats.c) writes them below each CPU. Without the file
// (CONFIG_SCHEDSTATS) nobody can tell, and a CPU that is alone needs none.
func readDomainless(fsys fs.FS, among CPUSet) (CPUSet, error) {
	f, err := fsys.Open(schedstat)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || among.Count() < 2 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var without CPUSet
	cpu := -1
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		word, _, _ := strings.Cut(lines.Text(), " ")
		digits, isCPU := strings.CutPrefix(word, "cpu")
		switch {
		case isCPU:
			if cpu, err = parseCPU(digits); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", schedstat, n, err)
			}
			without.Add(cpu)
		case strings.HasPrefix(word, "domain"):
			without.Remove(cpu)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", schedstat, err)
	}
	return without, nil
}

// rebuilding is how long a rebuild of the domains may take.
const rebuilding = 10 * time.Millisecond

// confirmLeftOut reads what is left out, twice if that may be for a moment only.
func confirmLeftOut(fsys fs.FS, online CPUSet) ([]LeftOut, error) {
	out, err := readLeftOut(fsys, online)
	if err == nil && slices.ContainsFunc(out, func(l LeftOut) bool { return l.Why == noDomain }) {
		time.Sleep(rebuilding)
		out, err = readLeftOut(fsys, online)
	}
	return out, err
}

// AllLeftOut returns the CPUs that are left out for whatever reason.
func AllLeftOut(out []LeftOut) (all CPUSet) {
	for _, l := range out {
		all = all.Or(l.CPUs)
	}
	return all
}

// SameLeftOut reports whether the same CPUs are left out for the same reasons.
func SameLeftOut(a, b []LeftOut) bool {
	return slices.EqualFunc(a, b, func(x, y LeftOut) bool { return x.Why == y.Why && x.CPUs.Equal(y.CPUs) })
}

// DescribeLeftOut is one line for people, such as "2-3 (isolated), 5 (nohz_full)".
func DescribeLeftOut(out []LeftOut) string {
	var parts []string
	for _, l := range out {
		parts = append(parts, l.CPUs.String()+" ("+l.Why+")")
	}
	return strings.Join(parts, ", ")
}
