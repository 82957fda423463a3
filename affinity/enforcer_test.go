// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/topology"
)

// holdAll holds every thread of the fake host on a CPU.
func holdAll(t testing.TB, e *Enforcer, h *fakeHost, cpu int32) *features.Snapshot {
	t.Helper()
	s := tick(t, e, h)
	var holds []features.Hold
	for i := range s.Threads {
		holds = append(holds, features.Hold{Thread: int32(i), CPU: cpu})
	}
	if err := errors.Join(e.Apply(s, holds, 0)...); err != nil {
		t.Fatal(err)
	}
	return s
}

func tick(t testing.TB, e *Enforcer, h *fakeHost) *features.Snapshot {
	t.Helper()
	h.now += 10
	s := new(features.Snapshot)
	h.snapshot(s)
	if err := e.Sync(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func mask(cpus ...int) topology.CPUSet { return topology.NewCPUSet(cpus...) }

// TestChanged: what becomes of a held thread when its mask changes.
func TestChanged(t *testing.T) {
	tests := []struct {
		name    string
		owner   topology.CPUSet
		do      func(h *fakeHost, p *fakeTask)
		want    topology.CPUSet
		managed bool
		hold    int32
		stats   Stats // only BackOffs and Restored count
	}{
		{"nothing", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) {}, mask(2), true, 2, Stats{}},
		{"owner's new mask", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) { p.Mask = mask(0, 1) }, mask(0, 1), false, -1, Stats{BackOffs: 1}},
		{"owner pins it", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) { p.Mask = mask(3) }, mask(3), false, -1, Stats{BackOffs: 1}},
		{"owner's old mask", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) { p.Mask = mask(0, 1, 2, 3) }, mask(0, 1, 2, 3), true, -1, Stats{}},
		// The kernel widens a mask whose last CPU goes offline.
		{"cpu offline", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) {
			h.online = h.all()
			h.online.Remove(2)
			p.Mask = h.all()
		}, mask(0, 1, 2, 3), true, -1, Stats{Restored: 1}},
		{"cpu offline, owner changed it", mask(0, 1, 2, 3), func(h *fakeHost, p *fakeTask) {
			h.online = h.all()
			h.online.Remove(2)
			p.Mask = mask(0, 1)
		}, mask(0, 1), false, -1, Stats{BackOffs: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			p := h.spawn(tt.owner)
			e, _ := openFake(t, h)
			holdAll(t, e, h, 2)
			tt.do(h, p)
			s := tick(t, e, h)
			got, stats := s.Threads[0], e.Stats()
			if !p.Mask.Equal(tt.want) || got.Managed != tt.managed || got.Hold != tt.hold {
				t.Errorf("mask {%s}, managed %v, hold %d; want {%s}, %v, %d", p.Mask, got.Managed, got.Hold, tt.want, tt.managed, tt.hold)
			}
			if stats.BackOffs != tt.stats.BackOffs || stats.Restored != tt.stats.Restored {
				t.Errorf("%+v", stats)
			}
			if s = tick(t, e, h); s.Threads[0].Managed != tt.managed {
				t.Errorf("managed again: %v", s.Threads[0].Managed)
			}
			if tt.managed {
				return
			}
			if err := e.Apply(s, []features.Hold{{Thread: 0, CPU: 1}}, 0)[0]; !errors.Is(err, ErrForeign) {
				t.Errorf("hold it again: %v, want ErrForeign", err)
			}
		})
	}
}

func TestLease(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, _ := openFake(t, h)
	s := tick(t, e, h)
	hold := []features.Hold{{Thread: 0, CPU: 3}}
	for range 2 { // a second hold on the same CPU begins the lease anew
		if err := e.Apply(s, hold, 150*time.Millisecond)[0]; err != nil {
			t.Fatal(err)
		}
		if s = tick(t, e, h); s.Threads[0].Hold != 3 || !s.Masks[s.Threads[0].Owner].Equal(h.all()) {
			t.Fatalf("%+v after 100 ms", s.Threads[0])
		}
	}
	if s = tick(t, e, h); s.Threads[0].Hold != -1 || !p.Mask.Equal(h.all()) {
		t.Errorf("after 200 ms: hold %d, mask {%s}", s.Threads[0].Hold, p.Mask)
	}
	if h.sets != 2 {
		t.Errorf("%d masks set, want 2", h.sets)
	}
}

func TestApplyErrors(t *testing.T) {
	h := newFakeHost()
	wide, narrow, kthread := h.spawn(h.all()), h.spawn(mask(0, 1)), h.spawn(h.all())
	dead, changed, refused := h.spawn(h.all()), h.spawn(h.all()), h.spawn(h.all())
	pinned, self, reused := h.spawn(mask(1)), h.spawn(h.all()), h.spawn(h.all())
	kthread.Flags = features.FlagKthread
	self.TGID = int32(os.Getpid())
	e, _ := openFake(t, h)
	s := tick(t, e, h)
	h.exit(dead)
	changed.Mask = mask(4, 5)
	h.refuse[refused.TID] = unix.EPERM
	reused.Start += 5
	tests := []struct {
		of   *fakeTask
		cpu  int32
		want error
	}{
		{wide, 1, nil}, {narrow, 2, ErrCPU}, {kthread, 1, ErrSystem}, {dead, 1, ErrGone}, {changed, 1, ErrChanged},
		{refused, 1, unix.EPERM}, {pinned, 1, nil}, {self, 1, ErrSystem}, {reused, 1, ErrGone}, {narrow, 99, ErrCPU},
	}
	var holds []features.Hold
	for _, tt := range tests {
		for i := range s.Threads {
			if s.Threads[i].TID == tt.of.TID {
				holds = append(holds, features.Hold{Thread: int32(i), CPU: tt.cpu})
			}
		}
	}
	for i, err := range e.Apply(s, holds, 0) {
		if !errors.Is(err, tests[i].want) {
			t.Errorf("hold %d: %v, want %v", i, err, tests[i].want)
		}
	}
	if e.Stats().Held != 1 || single(wide.Mask) != 1 || h.sets != 2 {
		t.Errorf("%+v, {%s}, %d calls", e.Stats(), wide.Mask, h.sets)
	}
	if r, err := e.Close(); err != nil || r.Restored != 1 {
		t.Errorf("close: %v, %v", r, err)
	}
	if err := e.Apply(s, holds[:1], 0)[0]; !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestFailedRestore: what could not be given back stays in the journal.
func TestFailedRestore(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, cfg := openFake(t, h)
	holdAll(t, e, h, 2)
	h.refuse[p.TID] = unix.EPERM
	if r, err := e.Close(); r.Failed != 1 || err != nil {
		t.Errorf("close: %+v, %v", r, err)
	}
	if _, _, err := Open(cfg); err == nil {
		t.Error("Open went on with a thread it could not give back")
	}
	delete(h.refuse, p.TID)
	if r, err := Restore(cfg); err != nil || r.Restored != 1 || !p.Mask.Equal(h.all()) {
		t.Errorf("restore: %+v, %v, {%s}", r, err, p.Mask)
	}
}

// TestKilledThen: what Restore makes of what happened after the kill, or just
// before.
func TestKilledThen(t *testing.T) {
	full := newFakeHost().all()
	tests := []struct {
		name string
		do   func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask)
		want topology.CPUSet
	}{
		{"nothing", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {}, full},
		{"released, then pinned by its owner", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			if err := e.Release(s, []int32{0})[0]; err != nil {
				t.Error(err)
			}
			p.Mask = mask(2)
		}, mask(2)},
		{"another thread has the id", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			p.Start, p.owner = h.now, 99
		}, mask(2)},
		{"another process has the id, and pins a thread there", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			h.now++
			lead := *p
			lead.Start, lead.owner, lead.Mask = h.now, 99, full
			h.tasks[lead.TID] = &lead
			h.nextTID++
			p.ID, p.owner = features.ID{TID: h.nextTID, Start: h.now}, 99
			h.tasks[p.TID] = p
		}, mask(2)},
		{"threads had the id before whose end is not in the journal", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			for r := e.known[p.TID].record; r.Start > p.Start-30; {
				r.Start--
				if err := e.file.append(r.append(nil, opHold), 1); err != nil {
					t.Error(err)
				}
			}
		}, full},
		{"killed between journal and kernel", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			h.crash = 1
			defer func() { _, h.crash = recover(), -1 }()
			e.Apply(s, []features.Hold{{Thread: 0, CPU: 4}}, 0)
			t.Error("not killed")
		}, full},
		{"a move that failed", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			h.refuse[p.TID] = unix.ENOMEM
			for cpu := range int32(3) {
				if err := e.Apply(s, []features.Hold{{Thread: 0, CPU: 4 + cpu}}, 0)[0]; !errors.Is(err, unix.ENOMEM) {
					t.Error(err)
				}
			}
			delete(h.refuse, p.TID)
		}, full},
		{"its cpuset has none of its owner's cpus", func(t *testing.T, e *Enforcer, h *fakeHost, s *features.Snapshot, p *fakeTask) {
			h.online = mask(2)
			e.known[p.TID].Full, e.known[p.TID].Owner = false, mask(0, 1)
			if _, err := e.release(e.known[p.TID]); err != nil {
				t.Error(err)
			}
		}, full},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			p := h.spawn(full)
			e, cfg := openFake(t, h)
			s := holdAll(t, e, h, 2)
			tt.do(t, e, h, s, p)
			e.kill()
			if _, err := Restore(cfg); err != nil {
				t.Fatal(err)
			}
			if !p.Mask.Equal(tt.want) {
				t.Errorf("{%s}, want {%s}", p.Mask, tt.want)
			}
		})
	}
}

// TestForgotten: a while after a hold ended nothing is left of it, and what
// the journal was told is what a successor reads.
func TestForgotten(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, _ := openFake(t, h)
	s := holdAll(t, e, h, 2)
	child := h.fork(p, false, false)
	if err := e.Release(s, []int32{0})[0]; err != nil {
		t.Fatal(err)
	}
	for n := range keepTicks + 3 {
		tick(t, e, h)
		text, err := os.ReadFile(e.file.path())
		if err != nil {
			t.Fatal(err)
		}
		j, err := parseJournal(text)
		if err != nil || len(j.healed) > 0 {
			t.Fatal(err, j)
		}
		want := 0
		for _, n := range e.lineage.past {
			if n.state == released {
				want = 1
			}
		}
		if got := len(j.entries); got != want {
			t.Errorf("tick %d: %d entries in the journal, want %d", n, got, want)
		}
	}
	if len(e.lineage.past)+len(e.lineage.latest)+len(e.known) != 0 || e.lineage.trails[2] != 0 || !child.Mask.Equal(h.all()) {
		t.Errorf("known %v, lineage %+v, child {%s}", e.known, e.lineage, child.Mask)
	}
}

// BenchmarkSync is a tick at 100,000 threads, of which some are held.
func BenchmarkSync(b *testing.B) {
	for _, bb := range []struct {
		name string
		held int
	}{{"held=0", 0}, {"held=64", 64}, {"held=1024", 1024}} {
		b.Run(bb.name, func(b *testing.B) {
			h := newFakeHost()
			var s features.Snapshot
			full := s.Mask(h.all())
			for i := range int32(100_000) {
				id := features.ID{TID: i + 1000, Start: 1}
				s.Threads = append(s.Threads, features.Thread{ID: id, TGID: i + 1000, Session: 1, Allowed: full, Owner: full, Hold: -1})
			}
			for i := range bb.held {
				id := s.Threads[i*97].ID
				h.tasks[id.TID] = &fakeTask{Task: Task{ID: id, TGID: id.TID, Session: 1, Threads: 1, Mask: h.all()}, want: h.all()}
			}
			e, _ := openFake(b, h)
			defer e.kill()
			var holds []features.Hold
			for i := range bb.held {
				holds = append(holds, features.Hold{Thread: int32(i * 97), CPU: int32(i % 8)})
			}
			if err := errors.Join(e.Apply(&s, holds, 0)...); err != nil {
				b.Fatal(err)
			}
			for i, hold := range holds {
				s.Threads[hold.Thread].Allowed = s.Mask(mask(i % 8))
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Time++
				if err := e.Sync(&s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
