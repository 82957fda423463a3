// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// everything is the scope that leaves nothing out.
type everything struct{}

func (everything) Mark(*features.Snapshot) {}

// watcher keeps what the daemon's last tick saw and did.
type watcher struct {
	t     *testing.T
	moves int
	held  int
	gap   int
}

// imbalance is the difference between the longest and the shortest queue.
func imbalance(s *features.Snapshot, cpus topology.CPUSet) int {
	length := make(map[int]int)
	for cpu := range cpus.All() {
		length[cpu] = 0
	}
	for i := range s.Threads {
		if t := &s.Threads[i]; t.Queued() && cpus.Has(int(t.CPU)) {
			length[int(t.CPU)]++
		}
	}
	all := slices.Sorted(maps.Values(length))
	return all[len(all)-1] - all[0]
}

func (w *watcher) Tick(t *scheduler.Tick) {
	if t.Err != nil {
		w.t.Errorf("tick: %v", t.Err)
		return
	}
	w.held, w.gap = t.Held, imbalance(t.Snapshot, t.Topology.Online)
	for i := range t.Plan.Candidates {
		if t.Moved(&t.Plan.Candidates[i]) {
			w.moves++
		}
	}
}

// TestDaemonOnSimulatedHost runs the whole loop, in each mode, on a machine
// whose threads all crowd one CPU, and takes a CPU away half-way.
func TestDaemonOnSimulatedHost(t *testing.T) {
	for _, tt := range []struct {
		mode scheduler.Mode
		name string
	}{{scheduler.Observe, "observe"}, {scheduler.Assist, "assist"}, {scheduler.Own, "own"}} {
		t.Run(tt.name, func(t *testing.T) {
			topo, err := topology.Parse("1x4x1")
			if err != nil {
				t.Fatal(err)
			}
			h := sim.New(sim.Options{Topology: topo})
			h.Start(12, sim.Spec{CPU: 3})
			w := &watcher{t: t}
			cfg := scheduler.Config{Mode: tt.mode}
			d := &scheduler.Daemon{
				Host: h, Scope: everything{}, Observer: w,
				Planner:  scheduler.NewBalancer(topo, cfg, scheduler.Always{}),
				Interval: time.Second, MaxFailures: 1, Topology: topo,
				ReadTopology: func() (*topology.Topology, error) { return h.Topology(), nil },
				Log:          slog.New(slog.DiscardHandler),
			}
			if tt.mode != scheduler.Observe {
				d.Enforcer = h
			}
			if tt.mode == scheduler.Assist {
				d.Lease = 300 * time.Millisecond
			}
			run := func(ticks int) {
				for range ticks {
					h.Step(100 * time.Millisecond)
					if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
						t.Fatal(err)
					}
					if err := h.Check(); err != nil {
						t.Fatal(err)
					}
				}
			}
			run(40)
			first := *w
			if err := h.SetOnline(2, false); err != nil {
				t.Fatal(err)
			}
			run(40)
			switch tt.mode {
			case scheduler.Observe:
				if w.moves != 0 || w.held != 0 || first.gap != 12 {
					t.Errorf("observe: %+v, gap %d before", *w, first.gap)
				}
			case scheduler.Assist:
				if first.moves == 0 || first.gap > 1 || w.gap > 1 || w.held != 0 {
					t.Errorf("assist: before hotplug %+v, after %+v", first, *w)
				}
			case scheduler.Own:
				if first.gap > 1 || w.gap > 1 || first.held != 12 || w.held != 12 {
					t.Errorf("own: before hotplug %+v, after %+v", first, *w)
				}
			}
		})
	}
}
