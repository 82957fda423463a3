// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"slices"
	"testing"
	"time"

	"mllb/features"
	"mllb/topology"
)

// asleep takes the snapshot that a reader of what is awake would, while nothing is.
func asleep(t *testing.T, e *Enforcer, h *fakeHost) *features.Snapshot {
	t.Helper()
	s := new(features.Snapshot)
	if e.Follow(s) {
		t.Fatal("all threads are to be read")
	}
	keep := slices.Clone(s.Keep)
	h.snapshot(s)
	s.Partial = true
	s.Threads = slices.DeleteFunc(s.Threads, func(th features.Thread) bool { return !slices.Contains(keep, th.Task) })
	return s
}

// A held thread that sleeps is looked after as one that runs, and no other is read.
func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lease time.Duration
		do    func(h *fakeHost, p *fakeTask)
		held  int
		stats Stats
	}{
		{"nothing", 0, func(*fakeHost, *fakeTask) {}, 1, Stats{Held: 1, Holds: 1}},
		{"its end", 0, func(h *fakeHost, p *fakeTask) { h.exit(p) }, 0, Stats{Holds: 1}},
		{"its owner", 0, func(h *fakeHost, p *fakeTask) { h.set(p, topology.CPUSet{0x3c}) }, 0, Stats{Holds: 1, BackOffs: 1}},
		{"the end of its lease", 100 * time.Millisecond, func(*fakeHost, *fakeTask) {}, 0, Stats{Holds: 1, Restored: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			h.keeps = true
			p, other := h.spawn(h.all()), h.spawn(h.all())
			cfg := fakeConfig(t.TempDir(), h)
			cfg.Forks, cfg.Marks = h, fakeMarks{h}
			e, _, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s := tick(t, e, h)
			if err := e.Apply(s, []features.Hold{{Thread: indexOf(s, p), CPU: 2}}, tt.lease)[0]; err != nil {
				t.Fatal(err)
			}
			tt.do(h, p)
			for range 3 * keepTicks {
				h.now += 10
				s := asleep(t, e, h)
				if err := e.Sync(s); err != nil {
					t.Fatal(err)
				}
				if i := indexOf(s, other); i >= 0 {
					t.Fatal("a thread of which nothing is known was read")
				}
			}
			if got := e.Stats(); got != tt.stats || e.Held() != tt.held {
				t.Errorf("%d held, %+v; want %d and %+v", e.Held(), got, tt.held, tt.stats)
			}
			if _, err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if err := h.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Where forks were lost, or nobody tells of them, all threads are read, once they were
// lost until that is done.
func TestFollowLost(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	cfg := fakeConfig(t.TempDir(), h)
	cfg.Forks = h
	e, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	holdAll(t, e, h, 1)
	var s features.Snapshot
	for i, lost := range []uint64{0, 3, 3} {
		h.lost = lost
		whole := e.Follow(&s)
		if want := i == 1; whole != want {
			t.Errorf("%d: all threads are to be read: %v, want %v", i, whole, want)
		}
		if !slices.Contains(s.Keep, p.task) {
			t.Error("what is held is not named")
		}
		h.snapshot(&s)
		s.Partial = !whole
		if err := e.Sync(&s); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Forks, cfg.StateDir = nil, t.TempDir()
	untraced, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !untraced.Follow(&s) {
		t.Error("nobody tells of forks: want all threads read")
	}
}
