// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"mllb/features/bpf"
	"mllb/topology"
)

// sampleVersion is SAMPLE_VERSION of sample.h as this package understands it.
const sampleVersion = 3

// maxTree bounds the threads that are followed at a time, and so the map's
// memory: 128 bytes each.
const maxTree = 1 << 17

// tree follows a process tree by eBPF.
type tree struct {
	log    *slog.Logger
	objs   samplerObjects
	scan   *link.Iter
	links  []link.Link // of programs()
	series *ebpf.Memory
	places []samplerMllbPlace
	misses [numPrograms]uint64 // of all earlier measurements
}

func openTree(log *slog.Logger) (*tree, error) {
	// It names what is missing of all that the programs here need as well:
	// capabilities, BTF, runqueue pointers, the initial pid namespace.
	if err := bpf.Probe(bpf.Options{}); err != nil {
		return nil, err
	}
	t := &tree{log: log}
	if err := t.load(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *tree) load() error {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11
		return err
	}
	spec, err := loadSampler()
	if err != nil {
		return err
	}
	var v uint32
	if err := spec.Variables["version"].Get(&v); err != nil {
		return fmt.Errorf("read the object's version: %w", err)
	}
	if v != sampleVersion {
		return fmt.Errorf("the eBPF object is of version %d, want %d: make generate", v, sampleVersion)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	threads, err := threadsMax()
	if err != nil {
		return err
	}
	spec.Maps["places"].MaxEntries = uint32(cpus)
	spec.Maps["tree"].MaxEntries = uint32(min(threads, maxTree))
	t.places = make([]samplerMllbPlace, cpus)
	if err := spec.LoadAndAssign(&t.objs, nil); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if t.series, err = t.objs.Series.Memory(); err != nil {
		return fmt.Errorf("map the series: %w", err)
	}
	t.scan, err = link.AttachIter(link.IterOptions{Program: t.objs.Scan})
	return err
}

// threadsMax is how many threads the kernel allows.
func threadsMax() (int, error) {
	text, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("threads-max %q is not a number above 0", text)
	}
	return n, nil
}

func (t *tree) start(o Options) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.detach(), t.clear())
		}
	}()
	if err := t.reset(o); err != nil {
		return err
	}
	for _, p := range t.programs() {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		t.links = append(t.links, l)
	}
	if err := t.find(); err != nil {
		return err
	}
	return run(t.objs.Begin)
}

// The programs that events run, in the order in which they are attached: threads
// leave before others join, so that none stays for ever.
const (
	onFree = iota
	onExit
	onFork
	onMigrate
	onSwitch
	onWakeup
	onWakeupNew
	numPrograms
)

func (t *tree) programs() [numPrograms]*ebpf.Program {
	o := &t.objs
	return [...]*ebpf.Program{onFree: o.OnFree, onExit: o.OnExit, onFork: o.OnFork, onMigrate: o.OnMigrate,
		onSwitch: o.OnSwitch, onWakeup: o.OnWakeup, onWakeupNew: o.OnWakeupNew}
}

// reset empties what a measurement before this one left.
func (t *tree) reset(o Options) error {
	for cpu := range t.places {
		t.places[cpu] = place(o.Topology, cpu)
		if err := t.objs.Places.Put(uint32(cpu), t.places[cpu]); err != nil {
			return fmt.Errorf("place cpu %d: %w", cpu, err)
		}
	}
	if err := t.objs.Sums.Put(uint32(0), make([]samplerMllbSums, len(t.places))); err != nil {
		return fmt.Errorf("reset the sums: %w", err)
	}
	if err := t.resetReactions(); err != nil {
		return err
	}
	for v, to := range map[*ebpf.Variable]any{
		t.objs.Root: int32(o.Root), t.objs.Balancer: int32(0), t.objs.Interval: uint64(o.Interval),
		t.objs.Joined: uint32(0), t.objs.Samples: uint64(0), t.objs.Lengths: [maxLengths]uint64{},
	} {
		if err := v.Set(to); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	return nil
}

// place tells the programs where a CPU is. Node ids do not reach 1<<16.
func place(t *topology.Topology, cpu int) (p samplerMllbPlace) {
	if !t.Online.Has(cpu) {
		return p
	}
	c := &t.CPUs[cpu]
	return samplerMllbPlace{Core: uint16(c.Core), Llc: uint16(c.LLC), Node: uint16(c.Node), Known: 1}
}

// find lets the iterator see all threads until none joins any more: a child
// may stand before its parent.
func (t *tree) find() error {
	for before := uint32(0); ; {
		if err := pass(t.scan); err != nil {
			return fmt.Errorf("find the process: %w", err)
		}
		var joined uint32
		if err := t.objs.Joined.Get(&joined); err != nil {
			return fmt.Errorf("find the process: %w", err)
		}
		if joined == 0 {
			return errors.New("there is no such process")
		}
		if joined == before {
			return nil
		}
		before = joined
	}
}

func pass(l *link.Iter) error {
	r, err := l.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// run is one BPF_PROG_RUN of a syscall program.
func run(p *ebpf.Program) error {
	ret, err := p.Run(&ebpf.RunOptions{})
	if err != nil {
		return err
	}
	if int32(ret) < 0 {
		return fmt.Errorf("%v: error %d", p, -int32(ret))
	}
	return nil
}

func (t *tree) stop(s *Sample) error {
	err := errors.Join(run(t.objs.End), t.detach(), run(t.objs.Account), t.clear())
	if err != nil {
		return err
	}
	s.By = "bpf"
	return errors.Join(t.readQueues(s), t.readSums(s), t.readReactions(s))
}

// detach takes off the programs that events run.
func (t *tree) detach() error {
	var errs []error
	for _, l := range slices.Backward(t.links) {
		errs = append(errs, l.Close())
	}
	t.links = nil
	return errors.Join(errs...)
}

// clear forgets the threads that were still there: their addresses may be
// another's next time.
func (t *tree) clear() error {
	var keys []uint64
	var key uint64
	var member samplerMllbMember
	all := t.objs.Tree.Iterate()
	for all.Next(&key, &member) {
		keys = append(keys, key)
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("forget the tree: %w", err)
	}
	for _, k := range keys {
		if err := t.objs.Tree.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget the tree: %w", err)
		}
	}
	return nil
}

func (t *tree) close() error {
	if t.objs.Tree == nil {
		return nil
	}
	err := t.detach()
	if t.scan != nil {
		err = errors.Join(err, t.scan.Close())
	}
	err = errors.Join(err, t.objs.Close()) // the last reference to the timer's map ends the timer
	t.objs = samplerObjects{}
	return err
}
