// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"testing"
	"time"

	"mllb/features"
	"mllb/topology"
)

// A mask that the owner sets between the look at a thread's mask and its change is the
// one that the thread has afterwards, and the thread is left to its owner.
func TestOvertaken(t *testing.T) {
	hold := func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask, cpu int32, lease time.Duration) {
		s := tick(t, e, h)
		e.Apply(s, []features.Hold{{Thread: indexOf(s, p), CPU: cpu}}, lease)
	}
	for _, tt := range []struct {
		name  string
		first bool // it is held before
		do    func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask)
	}{
		{"a hold", false, func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask) { hold(t, e, h, p, 2, 0) }},
		{"a move", true, func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask) { hold(t, e, h, p, 3, 0) }},
		{"a release", true, func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask) {
			s := tick(t, e, h)
			e.Release(s, []int32{indexOf(s, p)})
		}},
		{"a child", true, func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask) {
			h.fork(p, false, false)
			for _, f := range h.events {
				e.Forked(f)
			}
		}},
		{"the end", true, func(t *testing.T, e *Enforcer, h *fakeHost, p *fakeTask) {
			if _, err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, marked := range []bool{false, true} {
			for name, own := range map[string]topology.CPUSet{"one CPU": {0x10}, "some": {0x0c}, "the CPU that it is held on": {4}, "refused": {1 << 20}} {
				t.Run(tt.name+"/"+map[bool]string{false: "lineage", true: "marks"}[marked]+"/"+name, func(t *testing.T) {
					h := newFakeHost()
					h.keeps = marked
					p := h.spawn(h.all())
					cfg := fakeConfig(t.TempDir(), h)
					cfg.Forks = h
					if marked {
						cfg.Marks = fakeMarks{h}
					}
					e, _, err := Open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					if tt.first {
						hold(t, e, h, p, 2, 0)
					}
					h.now += 10
					h.race = own
					tt.do(t, e, h, p)
					if h.race != nil {
						t.Fatal("no mask was set: this shows nothing")
					}
					h.now += 10
					if _, err := e.Close(); err != nil {
						t.Fatal(err)
					}
					if err := h.check(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
