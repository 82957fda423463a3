// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/internal/denial"
	"mllb/topology"
)

// objectVersion is CALL_VERSION of call.h as this package understands it.
const objectVersion = 1

// ErrRefused says that the kernel allows none of the probes.
var ErrRefused = errors.New("neither fentry nor a kprobe can be attached to " + decider)

// ErrKprobeArch says why there is no kprobe backend on other machines.
var ErrKprobeArch = errors.New("arguments of " + decider + " are read from registers of amd64 only")

// loadKprobes refuses an object that is for other registers.
func loadKprobes() (*ebpf.CollectionSpec, error) {
	if runtime.GOARCH != "amd64" {
		return nil, ErrKprobeArch
	}
	return loadKprobe()
}

// backends are the ways to trace, the cheaper first.
var backends = []struct {
	name   string
	load   func() (*ebpf.CollectionSpec, error)
	attach func(entry, ret *ebpf.Program) (*probes, error)
}{
	{"fentry", loadFentry, attachFentry},
	{"kprobe", loadKprobes, attachKprobe},
}

// probes are the programs, attached.
type probes struct {
	backend    string
	coll       *ebpf.Collection
	entry, ret link.Link
	stopped    bool
}

// openProbes climbs down the backends.
func openProbes(opt Options, k *kernel, topo *topology.Topology, nodes int) (*probes, error) {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11
		return nil, err
	}
	var whys error
	for _, r := range backends {
		if opt.backend != "" && opt.backend != r.name {
			continue
		}
		p, err := openBackend(r.load, r.attach, opt, k, topo, nodes)
		if err == nil {
			p.backend = r.name
			return p, nil
		}
		if errors.Is(err, unix.EPERM) || denial.LockedDown() {
			err = denial.BPF(err)
		}
		if whys == nil {
			whys = fmt.Errorf("%s: %w", r.name, err)
		} else {
			whys = fmt.Errorf("%w; %s: %w", whys, r.name, err)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrRefused, whys)
}

func openBackend(load func() (*ebpf.CollectionSpec, error), attach func(entry, ret *ebpf.Program) (*probes, error),
	opt Options, k *kernel, topo *topology.Topology, nodes int,
) (*probes, error) {
	spec, err := load()
	if err != nil {
		return nil, err
	}
	if err := configure(spec, opt, k, topo, nodes); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := learnRunqueues(coll.Programs["runqueues"]); err != nil {
		coll.Close()
		return nil, err
	}
	p, err := attach(coll.Programs["on_entry"], coll.Programs["on_return"])
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("attach: %w", err)
	}
	p.coll = coll
	return p, nil
}

// configure sets the object's constants and the size of its ring.
func configure(spec *ebpf.CollectionSpec, opt Options, k *kernel, topo *topology.Topology, nodes int) error {
	var v uint32
	if err := spec.Variables["version"].Get(&v); err != nil {
		return fmt.Errorf("read the object's version: %w", err)
	}
	if v != objectVersion {
		return fmt.Errorf("the eBPF object is of version %d, want %d: make generate", v, objectVersion)
	}
	skip := k.flags.capacity
	if opt.AllDomains {
		skip = 0
	}
	siblings, err := siblings(topo)
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		"nr_nodes": uint32(nodes), "skip_domains": skip, "usable_only": bit(opt.Usable),
		"percpu_groups": bit(k.percpuGroups), "sibling": siblings,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if opt.Ring == 0 {
		opt.Ring = DefaultRing
	}
	spec.Maps["ring"].MaxEntries = uint32(opt.Ring)
	return nil
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// siblings links the CPUs of each core to a ring. A CPU that is offline, or
// alone, is its own sibling.
func siblings(topo *topology.Topology) (*[topology.MaxCPUs]uint16, error) {
	if n := len(topo.CPUs); n > topology.MaxCPUs {
		return nil, fmt.Errorf("%d CPUs: at most %d", n, topology.MaxCPUs)
	}
	next := new([topology.MaxCPUs]uint16)
	for i := range next {
		next[i] = uint16(i)
	}
	for _, core := range topo.Cores {
		first, last := -1, -1
		for cpu := range core.All() {
			if last < 0 {
				first = cpu
			} else {
				next[last] = uint16(cpu)
			}
			last = cpu
		}
		if last >= 0 {
			next[last] = uint16(first)
		}
	}
	return next, nil
}

// learnRunqueues runs the iterator once, which leaves the runqueues' addresses
// in the object.
func learnRunqueues(prog *ebpf.Program) error {
	iter, err := link.AttachIter(link.IterOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("find the runqueues: %w", err)
	}
	defer iter.Close()
	pass, err := iter.Open()
	if err != nil {
		return fmt.Errorf("find the runqueues: %w", err)
	}
	defer pass.Close()
	if _, err := io.Copy(io.Discard, pass); err != nil {
		return fmt.Errorf("find the runqueues: %w", err)
	}
	return nil
}

// attachBoth attaches to the return first: a call that was under way then has
// no entry, and is known by that.
func attachBoth(attachRet, attachEntry func() (link.Link, error)) (*probes, error) {
	ret, err := attachRet()
	if err != nil {
		return nil, err
	}
	entry, err := attachEntry()
	if err != nil {
		return nil, errors.Join(err, ret.Close())
	}
	return &probes{entry: entry, ret: ret}, nil
}

func attachFentry(entry, ret *ebpf.Program) (*probes, error) {
	at := func(p *ebpf.Program) func() (link.Link, error) {
		return func() (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: p}) }
	}
	return attachBoth(at(ret), at(entry))
}

func attachKprobe(entry, ret *ebpf.Program) (*probes, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("where arguments are is known for amd64 only, not for %s", runtime.GOARCH)
	}
	return attachBoth(
		func() (link.Link, error) { return link.Kretprobe(decider, ret, nil) },
		func() (link.Link, error) { return link.Kprobe(decider, entry, nil) })
}

// settle is how long a call that is under way may take to return: far longer
// than it does with interrupts off, for a guest's CPU may be off its host's.
const settle = 2 * time.Second

// stop takes the entry off, waits for the calls under way, then the return.
func (p *probes) stop() error {
	p.stopped = true
	err := p.entry.Close()
	for end := time.Now().Add(settle); err == nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var under int
		if _, under, err = readSlots(p.coll.Maps["slots"]); under == 0 {
			break
		}
	}
	return errors.Join(err, p.ret.Close())
}

// counters reads the counts, with the entries that the kernel kept from the
// program because one of its kind ran on that CPU already.
func (p *probes) counters() (c Counters, under int, err error) {
	if c, under, err = readSlots(p.coll.Maps["slots"]); err != nil {
		return c, under, err
	}
	stats, err := p.coll.Programs["on_entry"].Stats()
	if err != nil {
		return c, under, fmt.Errorf("read the misses: %w", err)
	}
	c.Missed = stats.RecursionMisses
	c.Calls += c.Missed
	// After the probes are off, a call still open is one whose return was lost.
	if p.stopped {
		c.Unpaired += uint64(under)
	}
	return c, under, nil
}

func (p *probes) close() error {
	var err error
	if !p.stopped {
		err = p.stop()
	}
	p.coll.Close()
	return err
}
