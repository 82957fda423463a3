// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"testing"

	"mllb/features"
	"mllb/topology"
)

// TestLineage: who counts as the child of a held thread, and who does not.
func TestLineage(t *testing.T) {
	full := newFakeHost().all()
	tests := []struct {
		name string
		do   func(h *fakeHost, p *fakeTask) *fakeTask
		want topology.CPUSet
	}{
		{"thread", func(h *fakeHost, p *fakeTask) *fakeTask { return h.fork(p, true, false) }, full},
		{"process", func(h *fakeHost, p *fakeTask) *fakeTask { return h.fork(p, false, false) }, full},
		{"grandchild", func(h *fakeHost, p *fakeTask) *fakeTask { return h.fork(h.fork(p, false, false), false, false) }, full},
		{"orphan", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, false)
			g := h.fork(c, false, false)
			h.exit(c)
			return g
		}, full},
		{"daemon", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, true)
			g := h.fork(c, false, false)
			h.exit(c)
			return g
		}, full},
		{"orphan of a dead parent", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, false)
			h.exit(p)
			return c
		}, full},
		{"child of a child that its owner freed", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, false)
			g := h.fork(c, false, false)
			c.Mask = mask(0, 1)
			return g
		}, full},
		{"execve of a thread", func(h *fakeHost, p *fakeTask) *fakeTask { h.exec(p); return p }, full},
		{"stranger pinned there", func(h *fakeHost, p *fakeTask) *fakeTask { return h.spawn(mask(2)) }, mask(2)},
		{"sibling pinned there", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(h.tasks[firstTID+1], false, false)
			c.Mask = mask(2)
			return c
		}, mask(2)},
		{"child pinned elsewhere", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, false)
			c.Mask = mask(5)
			return c
		}, mask(5)},
		{"child pinned there after it was seen", func(h *fakeHost, p *fakeTask) *fakeTask {
			c := h.fork(p, false, false)
			c.Mask = full
			h.now += 1000
			return c
		}, mask(2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			parent := h.spawn(full)
			lead := h.fork(parent, false, false) // a process with a held thread that does not lead
			p := h.fork(lead, true, false)
			e, cfg := openFake(t, h)
			s := tick(t, e, h)
			if err := e.Apply(s, []features.Hold{{Thread: 2, CPU: 2}}, 0)[0]; err != nil {
				t.Fatal(err)
			}
			h.now += 10
			c := tt.do(h, p)
			if tt.name == "child pinned there after it was seen" {
				tick(t, e, h)
				tick(t, e, h)
				tick(t, e, h)
				c.Mask = mask(2)
				tick(t, e, h)
			}
			tick(t, e, h)
			if !c.Mask.Equal(tt.want) {
				t.Errorf("after Sync {%s}, want {%s}", c.Mask, tt.want)
			}
			tick(t, e, h)
			e.kill()
			if r, err := Restore(cfg); err != nil || r.Failed > 0 {
				t.Errorf("restore: %v %v", r, err)
			}
			if tt.name != "child pinned there after it was seen" && !c.Mask.Equal(tt.want) {
				t.Errorf("after Restore {%s}, want {%s}", c.Mask, tt.want)
			}
		})
	}
}

// TestTracedLookAlike: with a fork tracer, an owner may pin a fresh child to
// the very CPU that its parent is held on.
func TestTracedLookAlike(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	cfg := fakeConfig(t.TempDir(), h)
	cfg.Forks = h
	e, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	holdAll(t, e, h, 2)
	c := h.fork(p, true, false)
	e.Forked(h.events[0])
	if !c.Mask.Equal(h.all()) || !h.traced[c.TID] { // a fork of its own may be under way
		t.Fatalf("the child has {%s}, tracked %v", c.Mask, h.traced[c.TID])
	}
	if errs := e.Apply(tick(t, e, h), []features.Hold{{Thread: 1, CPU: 2}}, 0); errs[0] != nil {
		t.Fatal(errs)
	}
	if e.Forked(h.events[0]); single(c.Mask) != 2 || !h.traced[c.TID] {
		t.Fatalf("a late report of its fork freed a held thread: {%s}, tracked %v", c.Mask, h.traced[c.TID])
	}
	if errs := e.Release(tick(t, e, h), []int32{1}); errs[0] != nil {
		t.Fatal(errs)
	}
	c.Mask = mask(2)
	for range 6 {
		tick(t, e, h)
	}
	lost := h.fork(p, true, false)
	h.events, h.lost = nil, 1
	tick(t, e, h)
	if !lost.Mask.Equal(h.all()) {
		t.Errorf("the child whose fork was lost has {%s}", lost.Mask)
	}
	if _, err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !c.Mask.Equal(mask(2)) || !p.Mask.Equal(h.all()) {
		t.Errorf("child {%s}, want {2}; parent {%s}", c.Mask, p.Mask)
	}
}

// TestTracedPins: who pins itself to the very CPU that mllb put it on keeps that,
// where the ForkSource tells; and nobody stays tracked for ever.
func TestTracedPins(t *testing.T) {
	h := newFakeHost()
	p, q := h.spawn(h.all()), h.spawn(h.all())
	cfg := fakeConfig(t.TempDir(), h)
	cfg.Forks = h
	e, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	holdAll(t, e, h, 2)
	quick, slow := h.fork(p, false, false), h.fork(p, false, false)
	h.pin(quick, 2)
	h.pin(q, 2)
	for _, f := range h.events {
		e.Forked(f)
	}
	h.pin(slow, 2)
	for range keepTicks + 2 {
		tick(t, e, h)
	}
	for name, c := range map[string]*fakeTask{"a child, before its fork was seen to": quick, "a child, after": slow} {
		if !c.Mask.Equal(mask(2)) {
			t.Errorf("%s: {%s}", name, c.Mask)
		}
	}
	for tid := range h.traced {
		if n := e.known[tid]; n == nil || !n.state.holds() {
			t.Errorf("thread %d is still tracked", tid)
		}
	}
	if _, err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !q.Mask.Equal(mask(2)) || !p.Mask.Equal(h.all()) {
		t.Errorf("who was held and pinned itself has {%s}, its like {%s}", q.Mask, p.Mask)
	}
}

// pin has a thread pin itself, of which the ForkSource hears if it is traced.
func (h *fakeHost) pin(t *fakeTask, cpu int) {
	h.set(t, mask(cpu))
	h.pinned[t.TID] = h.traced[t.TID]
}

// TestStray: a thread id that is reused while its mask is set is noticed.
func TestStray(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, _ := openFake(t, h)
	s := tick(t, e, h)
	e.sys, e.mech = &reuser{fakeHost: h, id: p.ID}, &masks{h, &e.mark}
	if err := e.Apply(s, []features.Hold{{Thread: 0, CPU: 1}}, 0)[0]; !errors.Is(err, ErrGone) {
		t.Errorf("hold: %v, want ErrGone", err)
	}
	if e.Stats().Strays != 1 || e.Stats().Held != 0 {
		t.Errorf("%+v", e.Stats())
	}
}

// reuser gives a thread's id to another once the thread has been looked at.
type reuser struct {
	*fakeHost
	id features.ID
}

func (r *reuser) Task(tgid, tid int32) (Task, error) {
	task, err := r.fakeHost.Task(tgid, tid)
	if task.ID == r.id {
		other := *r.tasks[tid]
		other.Start++
		r.tasks[tid] = &other
	}
	return task, err
}
