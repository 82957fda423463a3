// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/topology"
)

// machine drives an enforcer and a fake host with whatever rapid thinks of.
type machine struct {
	host   *fakeHost
	cfg    Config
	e      *Enforcer // nil: killed
	s      features.Snapshot
	fresh  bool // s is from after the last Sync of a living enforcer
	unsent int  // Syncs since the last fork was reported
	rows   map[string]bool
}

// TestMachine: whatever threads, owners and the daemon do, and wherever it is
// killed, in the end every thread has the mask that its owner gave it. No
// thread's state changes but as the table of states says.
func TestMachine(t *testing.T) {
	rows := allowed(t)
	for _, tt := range []struct {
		name          string
		traced, marks bool
	}{{"snapshots", false, false}, {"fork tracer", true, false}, {"marks", false, true}, {"marks and fork tracer", true, true}} {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { runMachine(t, tt.traced, tt.marks, rows) })
		})
	}
}

func runMachine(t *rapid.T, traced, marks bool, rows map[string]bool) {
	dir, err := os.MkdirTemp("", "mllb-machine")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := &machine{host: newFakeHost(), rows: rows}
	m.cfg = fakeConfig(dir, m.host)
	if traced {
		m.cfg.Forks = m.host
	}
	if marks {
		m.cfg.Marks, m.host.keeps = fakeMarks{m.host}, true
	}
	defer func() { m.e.kill() }()
	m.host.spawn(m.host.all())
	m.open(t)
	t.Repeat(map[string]func(*rapid.T){
		"spawn":   m.spawn,
		"fork":    m.fork,
		"fork2":   m.fork,
		"exit":    m.exit,
		"exec":    m.exec,
		"change":  m.change,
		"pin":     m.pin,
		"time":    func(t *rapid.T) { m.host.now += uint64(rapid.IntRange(1, 30).Draw(t, "ticks")) },
		"sync":    m.sync,
		"hold":    m.hold,
		"hold2":   m.hold,
		"release": m.release,
		"events":  m.deliver,
		"kill":    m.kill,
		"end":     m.end,
		"":        func(t *rapid.T) { m.narrowOnly(t) },
	})
	m.end(t)
}

func (m *machine) pick(t *rapid.T) *fakeTask {
	all := m.host.sorted()
	if len(all) == 0 {
		t.Skip("no threads")
	}
	return rapid.SampledFrom(all).Draw(t, "thread")
}

func owners(t *rapid.T) topology.CPUSet {
	if rapid.Bool().Draw(t, "all cpus") {
		return topology.CPUSet{1<<fakeCPUs - 1}
	}
	return topology.CPUSet{rapid.SampledFrom([]uint64{0x0f, 0xf0, 0x3c, 0x81, 0x80}).Draw(t, "mask")}
}

func (m *machine) spawn(t *rapid.T) { m.host.spawn(owners(t)) }

func (m *machine) fork(t *rapid.T) {
	if len(m.host.tasks) > 40 {
		t.Skip("enough")
	}
	m.host.fork(m.pick(t), rapid.Bool().Draw(t, "thread"), rapid.Bool().Draw(t, "setsid"))
}

func (m *machine) exit(t *rapid.T) { m.host.exit(m.pick(t)) }

// exec leaves out, where there are no marks, a thread that inherited a mask and was
// not seen yet: that it is not its leader, whose mask was narrowed elsewhere, cannot
// be known.
func (m *machine) exec(t *rapid.T) {
	if p := m.pick(t); p.TID != p.TGID && (m.host.keeps || p.Mask.Equal(p.want)) {
		m.host.exec(p)
	}
}

func (m *machine) change(t *rapid.T) { m.host.change(m.pick(t).owner, owners(t)) }

// pin has a thread pin itself, to the CPU that it has already or to another.
func (m *machine) pin(t *rapid.T) {
	if !m.host.keeps {
		t.Skip("only marks tell")
	}
	p := m.pick(t)
	cpu := single(p.Mask)
	if cpu < 0 || rapid.IntRange(0, 3).Draw(t, "elsewhere") == 0 {
		cpu = int32(rapid.IntRange(0, fakeCPUs-1).Draw(t, "cpu"))
	}
	m.host.set(p, topology.NewCPUSet(int(cpu)))
}

// guarded runs part of the daemon, which the fake kernel may kill meanwhile.
func (m *machine) guarded(t *rapid.T, run func()) {
	if m.e == nil {
		t.Skip("killed")
	}
	if rapid.IntRange(0, 9).Draw(t, "killed") == 0 {
		m.host.crash = rapid.IntRange(1, 4).Draw(t, "at")
		m.host.after = rapid.Bool().Draw(t, "after")
	}
	defer func() {
		m.host.crash = -1
		if r := recover(); r != nil {
			if r != errKilled {
				panic(r)
			}
			m.e.kill()
			m.e, m.host.traced, m.host.events = nil, map[int32]bool{}, nil
		}
	}()
	run()
}

func (m *machine) sync(t *rapid.T) {
	if m.unsent++; m.unsent > 2 {
		m.deliver(t)
	}
	m.host.now++ // no snapshot is of the very moment of the last plan
	m.guarded(t, func() {
		m.read(t)
		read := slices.Clone(m.s.Threads)
		if err := m.e.Sync(&m.s); err != nil {
			t.Fatalf("sync: %v", err)
		}
		for i, th := range m.s.Threads { // the rest is not Sync's to write: see Snapshot
			th.Owner, th.Hold, th.Managed, th.Allowed = read[i].Owner, read[i].Hold, read[i].Managed, read[i].Allowed
			if th != read[i] {
				t.Fatalf("Sync wrote %+v over %+v", m.s.Threads[i], read[i])
			}
		}
		m.fresh = true
		m.annotated(t)
	})
}

// read takes a snapshot. A partial one has what the enforcer named and whatever else
// happens to be awake.
func (m *machine) read(t *rapid.T) {
	whole := m.e.Follow(&m.s)
	keep := slices.Clone(m.s.Keep)
	m.host.snapshot(&m.s)
	if whole || rapid.IntRange(0, 2).Draw(t, "all") == 0 {
		return
	}
	m.s.Partial = true
	awake := rapid.Uint64().Draw(t, "awake")
	m.s.Threads = slices.DeleteFunc(m.s.Threads, func(th features.Thread) bool {
		return awake>>(th.TID&63)&1 == 0 && !slices.Contains(keep, th.Task)
	})
}

// annotated holds what Sync wrote against the host.
func (m *machine) annotated(t *rapid.T) {
	held := 0
	for i := range m.s.Threads {
		th := &m.s.Threads[i]
		is := m.host.tasks[th.TID]
		owner := m.s.Masks[th.Owner]
		if th.Hold >= 0 && !is.Mask.Equal(topology.NewCPUSet(int(th.Hold))) {
			t.Fatalf("thread %d is said to be held on %d, its mask is {%s}", th.TID, th.Hold, is.Mask)
		}
		if th.Hold >= 0 && !owner.Equal(is.want) {
			t.Fatalf("thread %d: owner's mask {%s}, want {%s}", th.TID, owner, is.want)
		}
		if th.Hold >= 0 {
			held++
		}
	}
	if m.e.Held() != held {
		t.Fatalf("%d threads are said to be held, in the snapshot are %d", m.e.Held(), held)
	}
}

func (m *machine) hold(t *rapid.T) {
	if !m.fresh || len(m.s.Threads) == 0 {
		t.Skip("no snapshot")
	}
	var holds []features.Hold
	twice := map[int]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "holds") {
		i := rapid.IntRange(0, len(m.s.Threads)-1).Draw(t, "of")
		is := m.host.tasks[m.s.Threads[i].TID]
		if twice[i] || is != nil && is.changed && !m.host.keeps {
			continue // whose children are its old mask's and whose its new one's only marks tell
		}
		twice[i] = true
		holds = append(holds, features.Hold{Thread: int32(i), CPU: int32(rapid.IntRange(0, 6).Draw(t, "cpu"))})
	}
	lease := rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond, time.Second}).Draw(t, "lease")
	m.guarded(t, func() {
		for i, err := range m.e.Apply(&m.s, holds, lease) {
			if err != nil && !errors.Is(err, ErrCPU) && !errors.Is(err, ErrGone) && !errors.Is(err, ErrChanged) && !errors.Is(err, ErrForeign) {
				t.Fatalf("hold %v: %v", holds[i], err)
			}
		}
	})
}

func (m *machine) release(t *rapid.T) {
	if !m.fresh || len(m.s.Threads) == 0 {
		t.Skip("no snapshot")
	}
	i := int32(rapid.IntRange(0, len(m.s.Threads)-1).Draw(t, "of"))
	m.guarded(t, func() {
		if err := m.e.Release(&m.s, []int32{i})[0]; err != nil {
			t.Fatalf("release: %v", err)
		}
	})
}

func (m *machine) deliver(t *rapid.T) {
	m.unsent = 0
	if m.e == nil {
		return
	}
	for _, f := range m.host.events {
		m.e.Forked(f)
	}
	m.host.events = nil
}

func (m *machine) kill(t *rapid.T) {
	if m.e == nil {
		t.Skip("killed")
	}
	m.e.kill()
	m.e, m.fresh, m.host.traced, m.host.events = nil, false, map[int32]bool{}, nil
}

// narrowOnly: no mask is ever wider than its owner's.
func (m *machine) narrowOnly(t *rapid.T) {
	for _, is := range m.host.sorted() {
		if !is.Mask.SubsetOf(is.want) {
			t.Fatalf("thread %d has {%s}, its owner allows {%s}", is.TID, is.Mask, is.want)
		}
	}
}

// end ends the daemon, or restores after it was killed, and starts another.
// Whoever gives the masks back may be killed as well; somebody tries again.
func (m *machine) end(t *rapid.T) {
	m.fresh = false
	if m.e != nil {
		m.deliver(t)
		m.guarded(t, func() {
			if _, err := m.e.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			m.closed(t)
			m.e = nil
			m.open(t)
		})
		if m.e != nil {
			return
		}
	}
	if rapid.Bool().Draw(t, "killed first") {
		m.e = m.locked(t)
		m.guarded(t, func() { _, _ = m.e.recover() })
		m.e.kill()
		m.e = nil
	}
	if rapid.Bool().Draw(t, "restore") {
		if _, err := Restore(m.cfg); err != nil {
			t.Fatalf("restore: %v", err)
		}
		m.closed(t)
	}
	m.open(t)
	m.host.mustBeRestored(t)
}

// locked is an enforcer that has gone as far as to lock the journal.
func locked(cfg Config) *Enforcer {
	e, err := newEnforcer(cfg)
	if err == nil {
		e.file, err = lockState(e.cfg.StateDir)
	}
	if err != nil {
		panic(err)
	}
	return e
}

func (m *machine) locked(t *rapid.T) *Enforcer {
	e := locked(m.cfg)
	e.changed = func(from, to state) {
		if c := (change{from, to}).String(); !m.rows[c] {
			t.Fatalf("%s is not in the table of states", c)
		}
	}
	return e
}

func (m *machine) closed(t *rapid.T) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(m.cfg.StateDir, journalName)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the journal is still there: %v", err)
	}
	m.host.mustBeRestored(t)
}

func (m *machine) open(t *rapid.T) {
	m.e = m.locked(t)
	if _, err := m.e.open(); err != nil {
		t.Fatalf("open: %v", err)
	}
	m.fresh = false
}

func (h *fakeHost) mustBeRestored(t *rapid.T) {
	t.Helper()
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
}
