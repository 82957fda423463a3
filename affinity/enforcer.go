// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"mllb/features"
	"mllb/topology"
)

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

	tick    uint32
	known   map[int32]*entry // by tid, in any state but none and past
	filter  filter           // of known
	lineage lineage

	freeProcesses, freeThreads pauses // of those that forked

	time    int64                // Snapshot.Time of the last Sync
	beside  bool                 // Forked runs on the child's CPU
	lost    uint64               // Lost of the ForkSource at the last tick
	changed func(from, to state) // tests: told of each change

	mark      mark
	marked    bool              // whose a narrowed mask is, is told by its mark
	now       features.Snapshot // what Marks said last
	strangers int               // threads seen with the mark of another

	narrow   []bool // by index of Snapshot.Masks: one CPU, in some trail
	ours     []bool // likewise: has a mark
	wide     []bool // likewise: several CPUs
	suspects []int32
	differ   []int32 // held threads whose mask is not the one set
	expired  []int32
	one      topology.CPUSet
	lines    []byte // for the journal, to be written at once
	nlines   int
}

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
		cfg: cfg, log: cfg.Log, sys: cfg.Sys,
		tick: 1, known: make(map[int32]*entry), lineage: newLineage(cfg.Sys),
	}, nil
}

// mechanism makes what the journal's header names.
func (e *Enforcer) mechanism(h *header) error {
	if h.Kind == KindCPUSet {
		m, err := newCPUSets(&e.cfg, h.Dir)
		e.mech, e.mark, e.marked = m, mark{}, false
		return err
	}
	e.mark = newMark(e.sys.Possible(), h)
	e.mech = &masks{e.sys, &e.mark}
	e.marked = e.cfg.Marks != nil && e.mark.works()
	return nil
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
	if report.Failed > 0 {
		return report, errors.Join(fmt.Errorf("%d threads held by the last mllbd could not be given back: %s (to give them up, remove %s)",
			report.Failed, strings.Join(report.Lines(), "; "), e.file.path()), err)
	}
	if errors.Is(err, ErrDamaged) {
		to, moved := e.file.moveAside()
		report.note("%v; the rest is undone, and it is kept as %s", err, to)
		err = moved
	}
	if err != nil {
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
	h := header{Kind: e.cfg.Kind, PID: int32(os.Getpid()), Start: self, Boot: boot}
	e.file.in = ownNamespaces(e.cfg.Root)
	if e.cfg.Kind == KindCPUSet {
		h.Dir = e.cfg.Cgroup
	}
	if err := e.mechanism(&h); err != nil {
		return report, err
	}
	e.file.head = h
	if err := e.rewrite(); err != nil {
		return report, err
	}
	e.followOwner()
	return report, nil
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

// Held returns how many threads are held now.
func (e *Enforcer) Held() int { return e.Stats().Held }

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
	if e.file.wasteful(e.stats.Held + len(e.lineage.past)) {
		return e.rewrite()
	}
	return nil
}

// rewrite leaves in the journal what a successor must know.
func (e *Enforcer) rewrite() error {
	return e.file.rewrite(func(yield func(*entry) bool) {
		for _, p := range e.lineage.past {
			if p.state == released && !yield(p) {
				return
			}
		}
		for _, h := range e.known {
			if h.state.holds() && !yield(h) {
				return
			}
		}
	})
}

// end ends a hold and keeps the thread for its children. It stays tracked as long: a
// fork that is under way has copied its mask, and is not reported yet.
func (e *Enforcer) end(n *entry) {
	e.line(&n.record, opReleased)
	e.become(n, released)
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
