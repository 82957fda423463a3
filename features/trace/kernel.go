// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"mllb/features"
)

// decider is the kernel function that is traced.
const decider = "can_migrate_task"

// kernel is what has to be known of the running kernel and is not in the
// records: its version, and what its BTF says that CO-RE cannot ask for.
type kernel struct {
	release      string // uname -r and -v
	version      version
	flags        domainFlags
	percpuGroups bool // task_group.cfs_rq is a per-CPU pointer, not an array of pointers: 7.2
}

// domainFlags are the SD_* bits of this kernel. They are numbered by their
// order in include/linux/sched/sd_flags.h, which changes.
type domainFlags struct{ capacity, llc, numa uint32 }

// version is a kernel's major and minor number.
type version struct{ major, minor int }

func (v version) before(o version) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

// parseVersion reads the start of what uname -r prints.
func parseVersion(release string) (v version, err error) {
	if _, err := fmt.Sscanf(release, "%d.%d", &v.major, &v.minor); err != nil || v.major < 0 || v.minor < 0 {
		return version{}, fmt.Errorf("kernel release %q: want MAJOR.MINOR", release)
	}
	return v, nil
}

// oldest is the first kernel whose fields were looked up.
var oldest = version{6, 1}

func readKernel() (*kernel, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	k := &kernel{release: unix.ByteSliceToString(uts.Release[:]) + " " + unix.ByteSliceToString(uts.Version[:])}
	var err error
	if k.version, err = parseVersion(k.release); err != nil {
		return nil, err
	}
	if k.version.before(oldest) {
		return nil, fmt.Errorf("kernel %s is too old: decisions are understood from %d.%d on", k.release, oldest.major, oldest.minor)
	}
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read the kernel's BTF (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	return k, k.read(spec)
}

// read looks up what is needed of the kernel's types.
func (k *kernel) read(spec *btf.Spec) (err error) {
	var f *btf.Func
	if err := spec.TypeByName(decider, &f); err != nil {
		return fmt.Errorf("the kernel has no function %s, or has it inlined: %w", decider, err)
	}
	if k.percpuGroups, err = hasPerCPUGroups(spec); err != nil {
		return err
	}
	values, err := enumOf(spec, "SD_NUMA")
	if err != nil {
		return err
	}
	k.flags, err = findFlags(values)
	return err
}

// enumOf returns the values of the first enum that has one of that name. The
// flags' enum has no name of its own, so it can neither be looked up nor be
// relocated.
func enumOf(spec *btf.Spec, value string) (map[string]uint32, error) {
	for typ, err := range spec.All() {
		if err != nil {
			return nil, fmt.Errorf("read the kernel's BTF: %w", err)
		}
		enum, ok := typ.(*btf.Enum)
		if !ok {
			continue
		}
		values := make(map[string]uint32, len(enum.Values))
		for _, v := range enum.Values {
			values[v.Name] = uint32(v.Value)
		}
		if _, ok := values[value]; ok {
			return values, nil
		}
	}
	return nil, fmt.Errorf("the kernel's BTF has no enum with %s", value)
}

func findFlags(values map[string]uint32) (f domainFlags, err error) {
	for _, want := range []struct {
		bit   *uint32
		names []string
	}{
		{&f.capacity, []string{"SD_SHARE_CPUCAPACITY"}},
		{&f.llc, []string{"SD_SHARE_LLC", "SD_SHARE_PKG_RESOURCES"}}, // renamed in 6.9
		{&f.numa, []string{"SD_NUMA"}},
	} {
		for _, name := range want.names {
			*want.bit |= values[name]
		}
		if *want.bit == 0 {
			err = errors.Join(err, fmt.Errorf("the kernel's BTF has no %s", strings.Join(want.names, " or ")))
		}
	}
	return f, err
}

// named says which of the flags that a decision depends on are set.
func (f domainFlags) named(raw uint32) (d features.DomainFlags) {
	for _, bit := range []struct {
		raw  uint32
		flag features.DomainFlags
	}{{f.capacity, features.ShareCPUCapacity}, {f.llc, features.ShareLLC}, {f.numa, features.SDNUMA}} {
		if raw&bit.raw != 0 {
			d |= bit.flag
		}
	}
	return d
}

// hasPerCPUGroups looks at the type of task_group.cfs_rq: CO-RE does not tell
// a pointer to pointers from a pointer to queues.
func hasPerCPUGroups(spec *btf.Spec) (bool, error) {
	var group *btf.Struct
	if err := spec.TypeByName("task_group", &group); err != nil {
		return false, fmt.Errorf("look up task_group: %w", err)
	}
	for _, m := range group.Members {
		if m.Name != "cfs_rq" {
			continue
		}
		p, ok := btf.UnderlyingType(m.Type).(*btf.Pointer)
		if !ok {
			break
		}
		_, direct := btf.UnderlyingType(p.Target).(*btf.Struct)
		return direct, nil
	}
	return false, errors.New("the kernel has no group scheduling (CONFIG_FAIR_GROUP_SCHED)")
}
