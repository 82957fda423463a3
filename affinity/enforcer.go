// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"mllb/features"
	"mllb/topology"
)

// standing is what a thread is to the enforcer.
type standing uint8

const (
	held    standing = iota
	foreign          // was held, until its owner changed its mask: left alone while it lives
	waiting          // has a narrowed mask, and the ForkSource will tell whose child it is
	pinned           // has a narrowed mask that is its owner's doing: nothing to look into again
	past             // was held, or is a child of one that was; kept for a few ticks as a relative
)

// entry is what the enforcer knows of one thread.
type entry struct {
	record
	state   standing
	prev    int32   // the CPU it may still have if the last change failed half-way, or -1
	trail   []int32 // CPUs it was held on of late, CPU last
	moved   uint32  // tick of the last change of CPU
	until   int64   // end of its lease in Snapshot.Time, 0 for none
	at      int64   // Snapshot.Time of the plan that held it: older snapshots say nothing
	seen    uint32  // tick that last saw it alive
	pending bool    // in the journal, not yet in the kernel
	child   bool    // inherited its mask: not in the journal
	tracked bool    // the ForkSource reports its children
	waits   uint8   // not yet judged: ticks that it was left to the ForkSource

	masks      *features.Snapshot // whose indices these are
	owner, set int32
}

// ours reports whether the thread's mask is one that mllb set.
func (e *entry) ours(mask topology.CPUSet) bool {
	cpu := single(mask)
	return cpu >= 0 && (cpu == e.CPU || cpu == e.prev)
}

// pastTicks is for how many ticks a thread that is no longer held remains a
// relative. Two suffice where every snapshot sees every thread; reading /proc
// can miss some.
const pastTicks = 8

// Enforcer holds threads and gives them back. Its methods may be called
// concurrently.
type Enforcer struct {
	mu     sync.Mutex
	cfg    Config
	log    *slog.Logger
	sys    Sys
	mech   mechanism
	file   *journal
	closed bool
	stats  Stats

	tick   uint32
	known  map[int32]*entry // by tid: held, foreign and pinned
	filter filter           // of known
	past   []*entry         // in the order in which they are to be forgotten
	gone   map[int32]*entry // by tid: the latest of past
	trails []int32          // how many trails each CPU is in
	lost   uint64           // Lost of the ForkSource at the last tick

	family   family
	met      uint32    // tick for which family was gathered
	looked   [2]uint64 // the boot time at the Sync before the last, and at the last
	narrow   []bool    // by index of Snapshot.Masks: one CPU, in some trail
	suspects []int32
	strays   []int32 // held threads whose mask is not the one set
	expired  []int32
	one      topology.CPUSet
	lines    []byte // for the journal, to be written at once
	nlines   int
}

// filter answers for most threads that they are not known, without a look at
// the map: one bit for each value of a tid's low bits.
type filter [1 << 16 / 64]uint64

func (f *filter) add(tid int32)      { f[tid>>6&(1<<10-1)] |= 1 << (tid & 63) }
func (f *filter) has(tid int32) bool { return f[tid>>6&(1<<10-1)]&(1<<(tid&63)) != 0 }

func (c *Config) fill() error {
	for _, d := range []struct {
		at *string
		to string
	}{{&c.Root, "/"}, {&c.StateDir, "/run/mllb"}, {&c.Kind, KindAffinity}} {
		if *d.at == "" {
			*d.at = d.to
		}
	}
	if c.Kind != KindAffinity && c.Kind != KindCPUSet {
		return fmt.Errorf("enforcer %q is unknown: want %s or %s", c.Kind, KindAffinity, KindCPUSet)
	}
	if c.Kind == KindCPUSet && !filepath.IsAbs(c.Cgroup) {
		return fmt.Errorf("enforcer %s: %q is not an absolute directory", c.Kind, c.Cgroup)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Sys == nil {
		sys, err := newLinux(c.Root)
		if err != nil {
			return err
		}
		c.Sys = sys
	}
	return nil
}

func newEnforcer(cfg Config) (*Enforcer, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	return &Enforcer{
		cfg: cfg, log: cfg.Log, sys: cfg.Sys, family: family{sys: cfg.Sys},
		tick: 1, known: make(map[int32]*entry), gone: make(map[int32]*entry),
	}, nil
}

func newMechanism(cfg *Config, kind, dir string) (mechanism, error) {
	if kind == KindCPUSet {
		return newCPUSets(cfg, dir)
	}
	return &masks{cfg.Sys}, nil
}

// Open locks the journal, gives back what a killed predecessor left, and is
// then ready. Errors: ErrBusy, ErrJournal, or what the system said.
func Open(cfg Config) (*Enforcer, Report, error) {
	e, err := newEnforcer(cfg)
	if err != nil {
		return nil, Report{}, err
	}
	if e.file, err = lockState(e.cfg.StateDir); err != nil {
		return nil, Report{}, err
	}
	report, err := e.open()
	if err != nil {
		_ = e.file.unlock()
		return nil, report, err
	}
	return e, report, nil
}

func (e *Enforcer) open() (Report, error) {
	report, err := e.recover()
	if err != nil {
		return report, err
	}
	if report.Failed > 0 {
		return report, fmt.Errorf("%d threads held by the last mllbd could not be given back: %s (to give them up, remove %s)",
			report.Failed, strings.Join(report.Notes, "; "), e.file.path())
	}
	if e.mech, err = newMechanism(&e.cfg, e.cfg.Kind, e.cfg.Cgroup); err != nil {
		return report, err
	}
	boot, err := bootID(e.cfg.Root)
	if err != nil {
		return report, err
	}
	self, err := e.sys.Now()
	if err != nil {
		return report, err
	}
	e.file.head = header{Kind: e.cfg.Kind, PID: int32(os.Getpid()), Start: self, Boot: boot}
	if e.cfg.Kind == KindCPUSet {
		e.file.head.Dir = e.cfg.Cgroup
	}
	return report, e.rewrite()
}

// bootID tells one boot of the machine from another.
func bootID(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Stats returns the counts so far.
func (e *Enforcer) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// line adds a line for the journal; flush writes what was added.
func (e *Enforcer) line(r *record, op string) {
	e.lines = r.append(e.lines, op)
	e.nlines++
}

func (e *Enforcer) flush() error {
	err := e.file.append(e.lines, e.nlines)
	e.lines, e.nlines = e.lines[:0], 0
	if err != nil {
		e.stats.Failed++
		return err
	}
	if e.file.wasteful(e.stats.Held + len(e.past)) {
		return e.rewrite()
	}
	return nil
}

// rewrite leaves in the journal what a successor must know.
func (e *Enforcer) rewrite() error {
	return e.file.rewrite(func(yield func(*entry) bool) {
		for _, p := range e.past {
			if !p.child && !yield(p) {
				return
			}
		}
		for _, h := range e.known {
			if h.state == held && !yield(h) {
				return
			}
		}
	})
}

// learn makes a thread known.
func (e *Enforcer) learn(n *entry) {
	e.known[n.TID] = n
	e.filter.add(n.TID)
	if n.state == held {
		e.stats.Held++
	}
}

// unlearn undoes learn. The filter keeps its bit until Sync rebuilds it.
func (e *Enforcer) unlearn(n *entry) {
	if e.known[n.TID] == n {
		delete(e.known, n.TID)
	}
	if n.state == held {
		e.stats.Held--
	}
}

// follow notes that a thread's children may inherit the mask of this CPU.
func (e *Enforcer) follow(n *entry, cpu int32) {
	for int(cpu) >= len(e.trails) {
		e.trails = append(e.trails, 0)
	}
	e.trails[cpu]++
	n.trail = append(n.trail, cpu)
	n.moved = e.tick
	e.unfollow(n, maxTrail)
}

// unfollow forgets the oldest CPUs of a trail but for the latest keep.
func (e *Enforcer) unfollow(n *entry, keep int) {
	drop := max(0, len(n.trail)-keep)
	for _, cpu := range n.trail[:drop] {
		e.trails[cpu]--
	}
	n.trail = n.trail[drop:]
}

// retire ends a hold and keeps the thread as a relative for a few ticks.
func (e *Enforcer) retire(n *entry) {
	e.unlearn(n)
	e.line(&n.record, opReleased)
	e.bury(n)
	e.untrack(n.TID)
}

func (e *Enforcer) bury(n *entry) {
	n.state, n.seen = past, e.tick
	e.past = append(e.past, n)
	e.gone[n.TID] = n
}

func (e *Enforcer) track(n *entry) {
	if e.cfg.Forks == nil || n.tracked {
		return
	}
	if err := e.cfg.Forks.Track(n.TID); err != nil {
		e.fail("its children are sought in snapshots", n.TID, err)
		return
	}
	n.tracked = true
}

func (e *Enforcer) untrack(tid int32) {
	if e.cfg.Forks == nil {
		return
	}
	if err := e.cfg.Forks.Untrack(tid); err != nil {
		e.fail("fork tracing goes on", tid, err)
	}
}

func (e *Enforcer) fail(what string, tid int32, err error) {
	e.stats.Failed++
	e.log.Warn(what, "tid", tid, "err", err)
}
