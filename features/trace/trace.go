// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"mllb/features"
	"mllb/features/bpf"
	"mllb/topology"
)

// maxNodes is CALL_MAX_NODES of call.h.
const maxNodes = 64

// DefaultRing holds about 50,000 records of a host with two nodes.
const DefaultRing = 16 << 20

// Options say what a Tracer records. The zero value leaves out SMT domains.
type Options struct {
	// AllDomains records SMT domains too, where the rule never says stay.
	AllDomains bool
	// Usable leaves out the calls that a hard condition decided.
	Usable bool
	// Ring is the size of the ring in bytes, a power of 2; 0: DefaultRing.
	Ring int

	backend string // tests: the only one to try
	probe   bool   // change nothing
}

// Tracer records the decisions of the running kernel from Open to Stop. Only
// one goroutine may use it.
type Tracer struct {
	Backend  string // how the kernel is traced: "fentry" or "kprobe"
	Kernel   string // uname -r and -v, which name the exact build
	Topology *topology.Topology
	// CostSource says where the migration cost in the records is from.
	CostSource string

	decoder  decoder
	probes   *probes
	reader   *ringbuf.Reader
	raw      ringbuf.Record
	restore  func() error // schedstats
	counters Counters     // once stopped
}

// Open attaches to can_migrate_task(). The error says in one line why this
// kernel or this user cannot.
func Open(opt Options) (*Tracer, error) {
	t := &Tracer{}
	if err := t.open(opt); err != nil {
		return nil, errors.Join(fmt.Errorf("trace decisions: %w", err), t.Close())
	}
	return t, nil
}

// Probe reports which backend Open would use, by attaching it for a moment, and
// leaves schedstats as they are.
func Probe() (backend string, err error) {
	t := &Tracer{}
	err = t.open(Options{probe: true})
	return t.Backend, errors.Join(err, t.Close())
}

func (t *Tracer) open(opt Options) error {
	k, err := readKernel()
	if err != nil {
		return err
	}
	t.Kernel = k.release
	if err := haveSchedstats("/"); err != nil { // before what this user may not do, for nobody can
		return err
	}
	if t.Topology, err = topology.Read("/"); err != nil {
		return err
	}
	nodes := t.Topology.Nodes
	t.decoder = decoder{version: k.version, flags: k.flags, topology: t.Topology, nodes: nodes[len(nodes)-1].ID + 1}
	if t.decoder.nodes > maxNodes {
		return fmt.Errorf("%d NUMA nodes: at most %d can be recorded", t.decoder.nodes, maxNodes)
	}
	if err := t.readTunables(); err != nil {
		return err
	}
	// Before the probes: their first call must find the counter counting.
	if opt.probe {
		_, err = Schedstats("/")
	} else {
		t.restore, err = enableSchedstats("/")
	}
	if err != nil {
		return err
	}
	if t.probes, err = openProbes(opt, k, t.Topology, t.decoder.nodes); err != nil {
		return err
	}
	t.Backend = t.probes.backend
	t.reader, err = ringbuf.NewReader(t.probes.coll.Maps["ring"])
	return err
}

// readTunables takes the two settings that decisions depend on from a snapshot,
// whose reader knows where they are.
func (t *Tracer) readTunables() error {
	r, err := bpf.Open(bpf.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	var s features.Snapshot
	if err := r.Snapshot(&s); err != nil {
		return err
	}
	t.decoder.numaBalancing, t.decoder.migrationCost = s.NUMABalancing, s.MigrationCost
	t.CostSource = "debugfs"
	if err := r.MigrationCostError(); err != nil {
		t.CostSource = "the kernel's default: " + err.Error()
	}
	return nil
}

// past is a deadline that has run out: read what is there and do not wait.
var past = time.Unix(1, 0)

// Read appends the records that are in the ring now, limit of them at the most,
// and never waits. It reuses the memory between len and cap of recs, fault
// slices included.
func (t *Tracer) Read(recs []features.Record, limit int) ([]features.Record, error) {
	if t.reader == nil {
		return recs, fmt.Errorf("read decisions: %w", os.ErrClosed)
	}
	if t.reader.AvailableBytes() == 0 {
		return recs, nil
	}
	t.reader.SetDeadline(past)
	for range limit {
		err := t.reader.ReadInto(&t.raw)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return recs, fmt.Errorf("read decisions: %w", err)
		}
		recs = grow(recs)
		if err := t.decoder.decode(t.raw.RawSample, &recs[len(recs)-1]); err != nil {
			return recs[:len(recs)-1], fmt.Errorf("read decisions: %w", err)
		}
	}
	return recs, nil
}

// grow makes recs one longer and leaves what stood there.
func grow(recs []features.Record) []features.Record {
	if n := len(recs); n < cap(recs) {
		return recs[:n+1]
	}
	return append(recs, features.Record{})
}

// Counters returns the counts so far; after Stop they are final.
func (t *Tracer) Counters() (Counters, error) {
	if t.probes == nil || t.probes.stopped {
		return t.counters, nil
	}
	c, _, err := t.probes.counters()
	return c, err
}

// Contradictions returns, by the condition that they got, how many records the
// replay of the hard conditions does not agree on with the kernel's counters.
// 0 is expected of kernels whose conditions are known.
func (t *Tracer) Contradictions() [features.NumConditions]uint64 { return t.decoder.contradictions }

// Stop takes the probes off. What is in the ring then can still be read. It
// fails if the settings or CPUs that records refer to were changed meanwhile.
func (t *Tracer) Stop() (err error) {
	if t.probes == nil || t.probes.stopped {
		return nil
	}
	err = t.probes.stop()
	var cerr error
	t.counters, _, cerr = t.probes.counters()
	numa, cost := t.decoder.numaBalancing, t.decoder.migrationCost
	if err = errors.Join(err, cerr, t.readTunables()); err != nil {
		return fmt.Errorf("stop tracing: %w", err)
	}
	if now := &t.decoder; now.numaBalancing != numa || now.migrationCost != cost {
		err = fmt.Errorf("NUMA balancing or the migration cost changed while decisions were recorded (%v, %d ns to %v, %d ns): their labels may be another rule's",
			numa, cost, now.numaBalancing, now.migrationCost)
		now.numaBalancing, now.migrationCost = numa, cost // what is still in the ring is as the rest
	}
	return errors.Join(err, t.checkOnline())
}

// checkOnline fails if CPUs went on or off line since Open: records carry the
// cores, caches and nodes of the topology as it was then.
func (t *Tracer) checkOnline() error {
	now, err := topology.Read("/")
	if err != nil {
		return err
	}
	if was := t.Topology.Online; !now.Online.Equal(was) {
		return fmt.Errorf("CPUs went on or off line while decisions were recorded: %v to %v", was, now.Online)
	}
	return nil
}

// Close stops, gives everything back and sets schedstats as they were. It may
// be called more than once.
func (t *Tracer) Close() error {
	var errs []error
	if t.reader != nil {
		errs = append(errs, t.reader.Close())
		t.reader = nil
	}
	if t.probes != nil {
		errs = append(errs, t.probes.close())
		t.probes = nil
	}
	if t.restore != nil {
		errs = append(errs, t.restore())
		t.restore = nil
	}
	return errors.Join(errs...)
}
