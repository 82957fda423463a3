// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// lastTick keeps what the last tick said.
type lastTick struct {
	standby string
	held    int
	full    bool
}

func (l *lastTick) Tick(t *scheduler.Tick) {
	*l = lastTick{t.Standby, t.Held, t.Snapshot != nil}
}

// TestStandby: in the tick after another scheduler came everything is given
// back, whatever that costs, and nothing is held until the tick after it went.
func TestStandby(t *testing.T) {
	topo, err := topology.Parse("1x4x1")
	if err != nil {
		t.Fatal(err)
	}
	h := sim.New(sim.Options{Topology: topo})
	h.Start(8, sim.Spec{CPU: 3})
	other, readErr := "", error(nil)
	cpu, maxCPU := time.Duration(0), 0.0
	last := &lastTick{}
	d := &scheduler.Daemon{
		Host: h, Enforcer: h, Scope: everything{}, Observer: last,
		Planner:  scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own, Hold: scheduler.HoldAll}, scheduler.Always{}),
		Interval: time.Second, MaxFailures: 1, Topology: topo, Log: slog.New(slog.DiscardHandler),
		CPUTime: func() time.Duration { return cpu },
		Other:   func() (string, error) { return other, readErr },
	}
	now := time.Now()
	tick := func() {
		t.Helper()
		d.MaxCPU = maxCPU
		h.Step(100 * time.Millisecond)
		now = now.Add(100 * time.Millisecond)
		cpu += 500 * time.Millisecond
		if err := d.Tick(t.Context(), now, 0); err != nil {
			t.Fatal(err)
		}
	}
	hold := func() {
		t.Helper()
		for range 30 {
			tick()
		}
		if last.held != 8 || last.standby != "" {
			t.Fatalf("%+v, want 8 threads held", *last)
		}
	}
	hold()
	maxCPU = 0.01 // no tick is affordable
	tick()
	tick()
	if last.full {
		t.Fatal("the budget does not bind: nothing is shown")
	}
	other = "rusty"
	tick()
	if last.standby != "rusty" || last.held != 0 {
		t.Fatalf("%+v, want nothing held", *last)
	}
	maxCPU = 0
	for range 30 {
		tick()
		if last.held != 0 || last.standby != "rusty" {
			t.Fatalf("%+v: held beside another scheduler", *last)
		}
	}
	other, readErr = "", errors.New("cannot be read")
	if tick(); last.standby != "rusty" || last.held != 0 {
		t.Fatalf("%+v: what cannot be read is as it was", *last)
	}
	readErr = nil
	hold()
}

// TestStandbySaid: a scheduler that comes and goes, in several states, is said to come
// and to go once.
func TestStandbySaid(t *testing.T) {
	topo, err := topology.Parse("1x2x1")
	if err != nil {
		t.Fatal(err)
	}
	h := sim.New(sim.Options{Topology: topo})
	var said bytes.Buffer
	other := ""
	d := &scheduler.Daemon{
		Host: h, Enforcer: h, Scope: everything{}, Observer: &lastTick{},
		Planner:  scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Own}, scheduler.Always{}),
		Interval: time.Second, MaxFailures: 1, Topology: topo, Log: slog.New(slog.NewTextHandler(&said, nil)),
		Other: func() (string, error) { return other, nil },
	}
	for _, other = range []string{"", "rusty (enabling)", "rusty (enabled)", "rusty (enabled)", "rusty (disabling)", "", ""} {
		if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{"masks are given back", "balancing again"} {
		if n := strings.Count(said.String(), line); n != 1 {
			t.Errorf("%q is said %d times:\n%s", line, n, &said)
		}
	}
}
