// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features"
)

// change is one row of the table of states.
type change struct{ from, to state }

var stateNames = [numStates]string{none: "none", narrowing: "narrowing", held: "held", moving: "moving", foreign: "foreign",
	deferred: "deferred", pinned: "pinned", released: "released", inherited: "inherited"}

func (c change) String() string { return stateNames[c.from] + " -> " + stateNames[c.to] }

// stateSource has the table. Guests have no sources to read.
//
//go:embed state.go
var stateSource string

// allowed is the table in the comment over type state.
func allowed(t testing.TB) map[string]bool {
	t.Helper()
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+) +-> (\w+)  `).FindAllStringSubmatch(stateSource, -1) {
		if !slices.Contains(stateNames[:], m[1]) || !slices.Contains(stateNames[:], m[2]) {
			t.Fatalf("%s: no such state", m[0])
		}
		rows[m[1]+" -> "+m[2]] = true
	}
	return rows
}

// stage is a fake host with one thread and an enforcer whose changes are noted.
type stage struct {
	t    *testing.T
	h    *fakeHost
	p    *fakeTask
	e    *Enforcer
	cfg  Config
	seen []string
}

func (st *stage) open(from func(e *Enforcer) error) {
	st.t.Helper()
	st.e = locked(st.cfg)
	st.e.changed = func(from, to state) { st.seen = append(st.seen, change{from, to}.String()) }
	if err := from(st.e); err != nil {
		st.t.Fatal(err)
	}
}

func (st *stage) start() {
	st.t.Helper()
	st.open(func(e *Enforcer) error { _, err := e.open(); return err })
}

// hold holds the first thread on a CPU, and returns what Apply said.
func (st *stage) hold(cpu int32) error {
	st.t.Helper()
	return st.e.Apply(tick(st.t, st.e, st.h), []features.Hold{{Thread: 0, CPU: cpu}}, 0)[0]
}

func (st *stage) release() {
	st.t.Helper()
	if err := st.e.Release(tick(st.t, st.e, st.h), []int32{0})[0]; err != nil {
		st.t.Fatal(err)
	}
}

func (st *stage) ticks(n int) {
	st.t.Helper()
	for range n {
		tick(st.t, st.e, st.h)
	}
}

// panics has the kernel call of a hold panic.
func (st *stage) panics(cpu int32) {
	st.h.crash = 1
	defer func() { _, st.h.crash = recover(), -1 }()
	_ = st.hold(cpu)
	st.t.Error("no panic")
}

// restart kills the daemon and has another one restore what it left.
func (st *stage) restart() {
	st.t.Helper()
	st.e.kill()
	st.open(func(e *Enforcer) error { _, err := e.recover(); return err })
}

func (st *stage) close() {
	st.t.Helper()
	if _, err := st.e.Close(); err != nil {
		st.t.Fatal(err)
	}
}

// TestStates goes through every change of state that the comment over type
// state lists, and sees no other.
func TestStates(t *testing.T) {
	const hold, narrowed, end, forgotten = "none -> narrowing", "narrowing -> held", "held -> released", "released -> none"
	tests := []struct {
		name   string
		traced bool
		do     func(st *stage)
		want   []string
	}{
		{"held, released, forgotten", false, func(st *stage) { st.hold(2); st.release(); st.ticks(keepTicks + 2) },
			[]string{hold, narrowed, end, forgotten}},
		{"held until it ended", false, func(st *stage) { st.hold(2); st.h.exit(st.p); st.ticks(1) },
			[]string{hold, narrowed, end}},
		{"held until Close", false, func(st *stage) { st.hold(2); st.close() }, []string{hold, narrowed, end}},
		{"refused", false, func(st *stage) { st.h.refuse[st.p.TID] = unix.EPERM; st.hold(2) },
			[]string{hold, "narrowing -> none"}},
		{"moved", false, func(st *stage) { st.hold(2); st.hold(3) },
			[]string{hold, narrowed, "held -> moving", "moving -> held"}},
		{"move refused", false, func(st *stage) { st.hold(2); st.h.refuse[st.p.TID] = unix.EPERM; st.hold(3) },
			[]string{hold, narrowed, "held -> moving", "moving -> held"}},
		{"a panic, then Close", false, func(st *stage) { st.panics(2); st.close() },
			[]string{hold, "narrowing -> released"}},
		{"a panic in a move, then Close", false, func(st *stage) { st.hold(2); st.panics(3); st.close() },
			[]string{hold, narrowed, "held -> moving", "moving -> released"}},
		{"killed", false, func(st *stage) { st.hold(2); st.restart() },
			[]string{hold, narrowed, "none -> held", end}},
		{"killed in a move", false, func(st *stage) { st.hold(2); st.panics(3); st.restart() },
			[]string{hold, narrowed, "held -> moving", "none -> moving", "moving -> released"}},
		{"killed after a release", false, func(st *stage) { st.hold(2); st.release(); st.restart() },
			[]string{hold, narrowed, end, "none -> released"}},
		{"owner's change", false, func(st *stage) {
			st.hold(2)
			st.p.Mask = mask(0, 1)
			st.ticks(1)
			st.h.exit(st.p)
			st.ticks(1)
		}, []string{hold, narrowed, end, "none -> foreign", "foreign -> none"}},
		{"a child seen in a snapshot", false, func(st *stage) {
			st.hold(2)
			st.h.fork(st.p, false, false)
			st.ticks(keepTicks + 2)
		}, []string{hold, narrowed, "none -> inherited", "inherited -> none"}},
		{"a stranger pinned there, until it ended", false, func(st *stage) {
			st.hold(2)
			q := st.h.spawn(mask(2))
			st.ticks(2)
			st.h.exit(q)
			st.ticks(1)
		}, []string{hold, narrowed, "none -> pinned", "pinned -> none"}},
		{"a stranger pinned there, then free and held", false, func(st *stage) {
			st.hold(2)
			q := st.h.spawn(mask(2))
			st.ticks(2)
			q.Mask = st.h.all()
			st.e.Apply(tick(st.t, st.e, st.h), []features.Hold{{Thread: 1, CPU: 3}}, 0)
		}, []string{hold, narrowed, "none -> pinned", hold, "pinned -> none", narrowed}},
		{"a child that the tracer reports late", true, func(st *stage) {
			st.hold(2)
			st.h.fork(st.p, false, false)
			st.ticks(1)
			st.e.Forked(st.h.events[0])
		}, []string{hold, narrowed, "none -> deferred", "deferred -> none", "none -> inherited", end}},
		{"a child pinned there by its owner", true, func(st *stage) {
			st.hold(2)
			c := st.h.fork(st.p, false, false)
			st.e.Forked(st.h.events[0])
			c.Mask = mask(2)
			st.ticks(deferTicks + 1)
		}, []string{hold, narrowed, "none -> inherited", end, "none -> pinned"}},
		{"a thread pinned there by its owner, whatever its parent", true, func(st *stage) {
			st.hold(2)
			st.h.fork(st.p, false, false).Mask = mask(2)
			st.h.events = nil
			st.ticks(deferTicks + 1)
		}, []string{hold, narrowed, "none -> deferred", "deferred -> pinned"}},
	}
	rows := allowed(t)
	missed := maps.Clone(rows)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			st := &stage{t: t, h: h, p: h.spawn(h.all()), cfg: fakeConfig(t.TempDir(), h)}
			if tt.traced {
				st.cfg.Forks = h
			}
			st.start()
			tt.do(st)
			st.e.kill()
			if !slices.Equal(st.seen, tt.want) {
				t.Errorf("%s\nwant %s", strings.Join(st.seen, ", "), strings.Join(tt.want, ", "))
			}
		})
		for _, c := range tt.want {
			if !rows[c] {
				t.Errorf("%s: %s is not in the table", tt.name, c)
			}
			delete(missed, c)
		}
	}
	for c := range missed {
		t.Errorf("%s is not tested", c)
	}
}
