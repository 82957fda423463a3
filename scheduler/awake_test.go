// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// twin is a simulated host with the loop that runs on it, and what that did.
type twin struct {
	*sim.Host
	d     *scheduler.Daemon
	holds [][3]int32 // tick, thread and CPU of each hold, CPU -1 of each release
	tick  int32
	read  int // threads in its snapshots
}

func (w *twin) Tick(t *scheduler.Tick) {
	w.tick++
	if t.Snapshot == nil {
		return
	}
	w.read += len(t.Snapshot.Threads)
	for _, h := range t.Plan.Holds {
		w.holds = append(w.holds, [3]int32{w.tick, t.Snapshot.Threads[h.Thread].TID, h.CPU})
	}
	for _, i := range t.Plan.Releases {
		w.holds = append(w.holds, [3]int32{w.tick, t.Snapshot.Threads[i].TID, -1})
	}
}

func newTwin(t *testing.T, mode scheduler.Mode, awake bool) *twin {
	topo, err := topology.Parse("2x2x2")
	if err != nil {
		t.Fatal(err)
	}
	w := &twin{Host: sim.New(sim.Options{Topology: topo, Seed: 1})}
	w.Start(9, sim.Spec{CPU: 3})
	w.Start(20, sim.Spec{CPU: 1, Run: 70 * time.Millisecond, Sleep: 300 * time.Millisecond})
	w.Start(10, sim.Spec{CPU: 2, Run: 500 * time.Millisecond, Sleep: 4 * time.Second, Life: 3 * time.Second})
	w.Start(100, sim.Spec{CPU: 0, Run: time.Millisecond, Sleep: 20 * time.Second})
	w.d = &scheduler.Daemon{
		Host: w, Scope: everything{}, Observer: w, Enforcer: w,
		Planner:  scheduler.NewBalancer(topo, scheduler.Config{Mode: mode}, scheduler.Always{}),
		Interval: time.Second, MaxFailures: 1, Topology: topo,
		ReadTopology: func() (*topology.Topology, error) { return w.Topology(), nil },
		Log:          slog.New(slog.DiscardHandler),
	}
	if awake {
		w.d.Awake = w
	}
	if mode == scheduler.Assist {
		w.d.Lease = 300 * time.Millisecond
	}
	return w
}

// What sleeps and is not held makes no difference: the loop does the same at each tick
// whether its snapshots have all threads or those that are awake or held.
func TestAwakeIsEnough(t *testing.T) {
	for _, tt := range []struct {
		mode scheduler.Mode
		name string
	}{{scheduler.Assist, "assist"}, {scheduler.Own, "own"}} {
		t.Run(tt.name, func(t *testing.T) {
			all, some := newTwin(t, tt.mode, false), newTwin(t, tt.mode, true)
			for range 300 {
				for _, w := range []*twin{all, some} {
					w.Step(100 * time.Millisecond)
					if err := w.d.Tick(t.Context(), time.Now(), 0); err != nil {
						t.Fatal(err)
					}
					if err := w.Check(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if diff := cmp.Diff(all.holds, some.holds); diff != "" {
				t.Errorf("all threads read (-), those awake or held (+):\n%s", diff)
			}
			if len(all.holds) < 20 || 2*some.read > all.read {
				t.Errorf("%d holds and releases, %d threads read of %d: this shows nothing", len(all.holds), some.read, all.read)
			}
		})
	}
}

// While nothing is managed, all threads are read now and then, and once something is
// only those awake. The clock is the test's: how long a pass takes counts as well.
func TestAllReadUntilManaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTwin(t, scheduler.Own, true)
		managed := false
		w.d.Scope = scopeFunc(func(s *features.Snapshot) {
			for i := range s.Threads {
				s.Threads[i].Managed = managed
			}
		})
		var partial []bool
		w.d.Observer = observerFunc(func(tk *scheduler.Tick) { partial = append(partial, tk.Snapshot.Partial) })
		for i := range 12 {
			managed = i > 6
			if err := w.d.Tick(t.Context(), time.Now(), 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		want := []bool{false, true, true, false, true, true, false, true, true, true, true, true}
		if diff := cmp.Diff(want, partial); diff != "" {
			t.Errorf("partial (-want +got):\n%s", diff)
		}
	})
}

type scopeFunc func(*features.Snapshot)

func (f scopeFunc) Mark(s *features.Snapshot) { f(s) }

type observerFunc func(*scheduler.Tick)

func (f observerFunc) Tick(t *scheduler.Tick) { f(t) }
