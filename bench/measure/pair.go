// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"mllb/internal/denial"
)

// latencyVersion is LATENCY_VERSION of latency.h as this package understands it.
const latencyVersion = 1

// pair is the two programs on one function.
type pair struct {
	name       string
	which      int // its place in the map
	entry, ret *ebpf.Program
	active     *ebpf.Variable
	links      []link.Link // the return's, then the entry's
	misses     uint64      // events that the kernel kept from the programs
}

// attachPair attaches to the return first: a call that is under way then has no
// entry, and is known by that.
func attachPair(name string, which int, m *ebpf.Map) (*pair, error) {
	p := &pair{name: name, which: which}
	if err := p.attach(m); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *pair) attach(m *ebpf.Map) error {
	if err := p.load(m); err != nil {
		return err
	}
	for _, prog := range []*ebpf.Program{p.ret, p.entry} {
		l, err := link.AttachTracing(link.TracingOptions{Program: prog})
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		p.links = append(p.links, l)
	}
	return nil
}

// setActive says whether calls that begin now are timed.
func (p *pair) setActive(on uint32) error {
	if err := p.active.Set(on); err != nil {
		return fmt.Errorf("%s: switch the probe: %w", p.name, err)
	}
	return nil
}

// close takes the entry off first: calls under way still return. It may be
// called more than once.
func (p *pair) close() error {
	var errs []error
	for _, l := range slices.Backward(p.links) {
		errs = append(errs, l.Close())
	}
	p.links = nil
	for _, prog := range []*ebpf.Program{p.entry, p.ret} {
		if prog == nil {
			continue
		}
		stats, err := prog.Stats()
		if err == nil {
			p.misses += stats.RecursionMisses
		}
		errs = append(errs, err, prog.Close())
	}
	p.entry, p.ret = nil, nil
	return errors.Join(errs...)
}

// latencySpec is the object with a place for each function.
func latencySpec() (*ebpf.CollectionSpec, error) {
	spec, err := loadLatency()
	if err != nil {
		return nil, err
	}
	var v uint32
	if err := spec.Variables[latencyVarVersion].Get(&v); err != nil {
		return nil, fmt.Errorf("read the object's version: %w", err)
	}
	if v != latencyVersion {
		return nil, fmt.Errorf("the eBPF object is of version %d, want %d: make generate", v, latencyVersion)
	}
	spec.Maps[latencyMapLatencies].MaxEntries = uint32(1 + len(balancers))
	return spec, nil
}

func (p *pair) load(m *ebpf.Map) error {
	spec, err := latencySpec()
	if err != nil {
		return err
	}
	if err := spec.Variables[latencyVarWhich].Set(uint32(p.which)); err != nil {
		return err
	}
	for _, prog := range spec.Programs {
		prog.AttachTo = p.name
	}
	var objs struct {
		latencyPrograms
		latencyVariables
	}
	err = spec.LoadAndAssign(&objs, &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{latencyMapLatencies: m}})
	if errors.Is(err, unix.EPERM) {
		err = denial.BPF(unix.EPERM)
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	p.entry, p.ret, p.active = objs.OnEntry, objs.OnReturn, objs.Active
	return nil
}

// find returns the name under which this kernel has a function that can be
// timed whole. Tracing needs it in BTF, from which pahole leaves out what the
// compiler inlined everywhere; and of a function that the compiler split,
// kallsyms shows the parts.
func find(names []string) (string, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		var f *btf.Func
		err := kernel.TypeByName(name, &f)
		if errors.Is(err, btf.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		symbols, err := os.Open("/proc/kallsyms")
		if err != nil {
			return "", err
		}
		defer symbols.Close()
		parts, err := clones(symbols, name)
		if err != nil {
			return "", fmt.Errorf("/proc/kallsyms: %w", err)
		}
		if len(parts) > 0 {
			return "", fmt.Errorf("%s: the compiler split off %s, which would not be timed", name, strings.Join(parts, ", "))
		}
		return name, nil
	}
	return "", fmt.Errorf("%s: the kernel has no such function to trace: it was inlined, or renamed", strings.Join(names, ", "))
}

// clones finds a function's parts in kallsyms, such as NAME.part.0. NAME.cold
// is reached from within the function, and timed with it.
func clones(r io.Reader, name string) (parts []string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("%q is not a symbol", lines.Text())
		}
		suffix, ok := strings.CutPrefix(fields[2], name+".")
		if ok && suffix != "cold" {
			parts = append(parts, fields[2])
		}
	}
	return parts, lines.Err()
}
