// SPDX-License-Identifier: Apache-2.0

// Package sim is a host that exists only in memory: deterministic, so that a
// test which failed fails again, and with the interfaces of a real one.
package sim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"mllb/features"
	"mllb/topology"
)

// Options say what host to make.
type Options struct {
	Topology      *topology.Topology
	Seed          uint64
	Slice         time.Duration // how long a thread runs before the next one's turn; 0: 4 ms
	Kernel        bool          // an idle CPU pulls a waiting thread by itself
	NUMABalancing bool          // threads have preferred nodes and faults
	MigrationCost time.Duration // sysctl_sched_migration_cost; -1 always hot, 0 never
	FailOneIn     int           // one in so many holds does not take effect; 0: none

	// What the kernel does not know: the cores that there are, where Topology hides some,
	// how fast each CPU is while its siblings are idle, and what is left of that while one
	// of them works, both of features.FullSpeed. Nil: as Topology says; all are as fast;
	// 0: all is left.
	Real   *topology.Topology
	Speeds []uint32
	CoRun  uint32
}

// Spec describes threads to start.
type Spec struct {
	Comm              string
	Policy            uint8 // SCHED_*
	Nice              int8
	Flags             uint32 // PF_*
	Narrowed          bool   // its owner set its mask on purpose: not to be managed
	MigrationDisabled bool   // migration is disabled, always

	// A thread wants a CPU for Run, then sleeps for Sleep, each varied by up to
	// half. With Sleep 0 it never sleeps.
	Run, Sleep time.Duration
	Life       time.Duration // of CPU time until it exits; 0: for ever
	Work       time.Duration // likewise, of CPU time on the fastest CPU

	CPU   int             // where it starts, or Anywhere
	Owner topology.CPUSet // its mask; nil: every CPU
	TGID  int32           // its process; 0: one of its own

	// With NUMA balancing, four in five faults are on node Home; NoNode: all are
	// where the thread runs.
	Home    int32
	Grouped bool // shares its faults with the other such threads of its process
}

// Host is the simulated machine. It implements scheduler.Host and
// scheduler.Enforcer; see New. It is not safe for concurrent use.
type Host struct {
	opt  Options
	topo *topology.Topology
	full *topology.Topology // with every CPU online
	real *topology.Topology // the cores that there are

	speeds, measured []uint32 // by CPU

	rng     *rand.Rand
	now     int64 // ns since boot
	threads []*thread
	byID    map[features.ID]*thread
	cpus    []cpu
	groups  map[int32][]uint64 // faults by process
	nextTID int32
	decay   int64 // what is left of an average after one slice, of 1<<16
	lost    error // the first rule broken by Apply or Release
}

type thread struct {
	Spec
	id       features.ID
	cpu      int32
	queued   bool
	left     time.Duration // of this run, or of this sleep
	runtime  time.Duration
	work     time.Duration // done, as on the fastest CPU
	ran      int64         // when it last ran: se.exec_start
	runnable int64         // se.avg.runnable_avg, of 1024<<16
	faults   []uint64
	owner    topology.CPUSet
	allowed  topology.CPUSet // what the kernel enforces
	hold     int32
	lease    int64 // until when it is held; 0: until released
	foreign  bool  // its owner changed its mask while we held it
}

// cpu's queue is in the order of turns; the first thread is running.
type cpu struct {
	online bool
	queue  []*thread
	worth  uint32 // in this slice
}

// New returns a host without threads, all of whose CPUs are online.
func New(opt Options) *Host {
	if opt.Slice == 0 {
		opt.Slice = 4 * time.Millisecond
	}
	h := &Host{
		opt: opt, topo: opt.Topology, full: opt.Topology, rng: rand.New(rand.NewPCG(opt.Seed, 1)),
		now: int64(time.Hour), byID: map[features.ID]*thread{}, groups: map[int32][]uint64{}, nextTID: 1000,
		cpus: make([]cpu, len(opt.Topology.CPUs)),
		// PELT's half-life (kernel/sched/pelt.c, LOAD_AVG_PERIOD).
		decay: int64(math.Round(65536 * math.Exp2(-float64(opt.Slice)/float64(32*time.Millisecond)))),
	}
	for c := range h.topo.Online.All() {
		h.cpus[c].online = true
	}
	if h.real = opt.Real; h.real == nil {
		h.real = opt.Topology
	}
	h.measured, h.speeds = make([]uint32, len(h.cpus)), slices.Clone(opt.Speeds)
	if h.speeds == nil {
		h.speeds = slices.Repeat([]uint32{features.FullSpeed}, len(h.cpus))
	}
	h.measure()
	return h
}

// Topology returns the machine as it is now.
func (h *Host) Topology() *topology.Topology { return h.topo }

// Start starts n threads alike, wanting a CPU, and returns their ids. The CPU
// they start on must be online.
func (h *Host) Start(n int, spec Spec) []features.ID {
	ids := make([]features.ID, n)
	for i := range ids {
		t := h.add(spec)
		t.owner = spec.Owner.Clone()
		if spec.Owner == nil {
			t.owner = h.full.Online.Clone()
		}
		t.allowed = t.owner
		cpu := int32(spec.CPU)
		if cpu == Anywhere {
			cpu = h.anywhere()
		}
		h.enqueue(t, h.place(t, cpu))
		ids[i] = t.id
	}
	return ids
}

// Fork starts a child of a thread, which like any child inherits what the
// parent may run on at that moment, narrowed or not.
func (h *Host) Fork(parent features.ID) (features.ID, error) {
	p := h.byID[parent]
	if p == nil {
		return features.ID{}, fmt.Errorf("fork thread %d: %w", parent.TID, errGone)
	}
	t := h.add(p.Spec)
	t.owner, t.allowed = p.owner, p.allowed
	h.enqueue(t, p.cpu)
	return t.id, nil
}

var errGone = errors.New("no such thread")

func (h *Host) add(spec Spec) *thread {
	h.nextTID++
	t := &thread{Spec: spec, hold: -1, ran: h.now}
	t.id = features.ID{TID: h.nextTID, Start: uint64(h.now / int64(10*time.Millisecond))}
	if t.TGID == 0 {
		t.TGID = t.id.TID
	}
	t.faults = make([]uint64, h.nids())
	t.left = h.vary(t.Run)
	h.threads = append(h.threads, t)
	h.byID[t.id] = t
	return t
}

// Exit ends a thread.
func (h *Host) Exit(id features.ID) error {
	t := h.byID[id]
	if t == nil {
		return fmt.Errorf("end thread %d: %w", id.TID, errGone)
	}
	h.dequeue(t)
	h.drop(t)
	h.threads = slices.DeleteFunc(h.threads, func(x *thread) bool { return x == t })
	return nil
}

func (h *Host) drop(t *thread) { delete(h.byID, t.id) }

// SetMask is the owner of a thread setting its mask. A thread that was held
// is no longer ours then.
func (h *Host) SetMask(id features.ID, mask topology.CPUSet) error {
	t := h.byID[id]
	if t == nil || !mask.Intersects(h.topo.Online) {
		return fmt.Errorf("set mask %s of thread %d: %w", mask, id.TID, errGone)
	}
	t.foreign = t.foreign || t.hold >= 0
	t.hold, t.owner, t.allowed = -1, mask.Clone(), mask.Clone()
	h.settle(t)
	return nil
}

// settle moves a waiting thread off a CPU that it may no longer use.
func (h *Host) settle(t *thread) {
	if to := h.place(t, t.cpu); t.queued && to != t.cpu {
		h.dequeue(t)
		h.enqueue(t, to)
	}
}

// place returns the CPU that a thread gets: the wanted one, or else the first
// that is allowed.
func (h *Host) place(t *thread, want int32) int32 {
	if h.cpus[want].online && t.allowed.Has(int(want)) {
		return want
	}
	for c := range t.allowed.All() {
		if c < len(h.cpus) && h.cpus[c].online {
			return int32(c)
		}
	}
	// No CPU is left: select_fallback_rq() (kernel/sched/core.c, 6.12) lifts
	// the mask, and so ends what held the thread there.
	t.allowed, t.hold = t.owner, -1
	if !t.owner.Intersects(h.topo.Online) {
		t.owner = h.full.Online.Clone()
		t.allowed = t.owner
	}
	return h.place(t, int32(t.allowed.And(h.topo.Online).First()))
}

func (h *Host) enqueue(t *thread, cpu int32) {
	t.cpu, t.queued = cpu, true
	h.cpus[cpu].queue = append(h.cpus[cpu].queue, t)
}

func (h *Host) dequeue(t *thread) {
	if t.queued {
		c := &h.cpus[t.cpu]
		i := slices.Index(c.queue, t)
		c.queue = slices.Delete(c.queue, i, i+1)
		t.queued = false
	}
}

func (h *Host) nids() int {
	n := 0
	for i := range h.full.Nodes {
		n = max(n, h.full.Nodes[i].ID+1)
	}
	return n
}

// vary returns d, give or take a half.
func (h *Host) vary(d time.Duration) time.Duration {
	if d < 2 {
		return d
	}
	return d/2 + time.Duration(h.rng.Int64N(int64(d)))
}
