// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"testing"
	"time"

	"mllb/features"
)

// TestPause: who forks while it is held is left free for a while, the longer the more
// often it happened: a process that starts another with all its threads, a thread that
// starts a thread alone.
func TestPause(t *testing.T) {
	const first = uint64(firstPause / (10 * time.Millisecond))
	for _, tt := range []struct {
		name   string
		thread bool
		others bool // of its process are left free, too
	}{{"a process", false, true}, {"a thread", true, false}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			cfg := fakeConfig(t.TempDir(), h)
			cfg.Forks, cfg.Marks, h.keeps = h, fakeMarks{h}, true
			e, _, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			p := h.spawn(h.all())
			other := h.fork(p, true, false)
			wait := first
			for range 3 {
				s := tick(t, e, h)
				held := []features.Hold{{Thread: indexOf(s, p), CPU: 2}, {Thread: indexOf(s, other), CPU: 3}}
				for _, err := range e.Apply(s, held, 0) {
					if err != nil {
						t.Fatal(err)
					}
				}
				h.fork(p, tt.thread, false)
				for _, f := range h.events {
					e.Forked(f)
				}
				h.events = nil
				if !p.Mask.Equal(h.all()) {
					t.Fatalf("it forked, and has {%s}", p.Mask)
				}
				if free := other.Mask.Equal(h.all()); free != tt.others {
					t.Errorf("the other thread is free: %v", free)
				}
				h.now += wait - 15
				s = tick(t, e, h)
				if s.Threads[indexOf(s, p)].Managed || s.Threads[indexOf(s, other)].Managed == tt.others {
					t.Errorf("after %d clock ticks: %+v", wait-5, s.Threads)
				}
				s = tick(t, e, h)
				if !s.Threads[indexOf(s, p)].Managed {
					t.Errorf("after %d clock ticks it is still left free", wait+5)
				}
				wait *= 2
			}
			h.now += 100 * first
			tick(t, e, h)
			if n := len(e.freeProcesses.of) + len(e.freeThreads.of); n > 0 {
				t.Errorf("%d pauses are remembered for ever", n)
			}
			if _, err := e.Close(); err != nil || h.check() != nil {
				t.Errorf("%v, %v", err, h.check())
			}
		})
	}
}
