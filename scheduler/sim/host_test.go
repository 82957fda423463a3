// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/scheduler/sim"
	"mllb/topology"
)

const ms = time.Millisecond

func newHost(t *testing.T, desc string, opt sim.Options) *sim.Host {
	t.Helper()
	topo, err := topology.Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	opt.Topology = topo
	return sim.New(opt)
}

// snap takes a snapshot and has the host annotate it.
func snap(t *testing.T, h *sim.Host) *features.Snapshot {
	t.Helper()
	var s features.Snapshot
	if err := errors.Join(h.Snapshot(&s), h.Sync(&s), h.Check()); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestThreadsShareTheirCPU(t *testing.T) {
	h := newHost(t, "1x2x1", sim.Options{})
	h.Start(4, sim.Spec{CPU: 1})
	h.Start(1, sim.Spec{CPU: 0, Run: 4 * ms, Sleep: 40 * ms})
	h.Step(4000 * ms)
	s := snap(t, h)
	for i, th := range s.Threads[:4] {
		if th.Runtime != uint64(1000*ms) || th.CPU != 1 || !th.Queued() || th.Running != (i == 0) || th.Runnable < 1000 {
			t.Errorf("busy thread %+v", th)
		}
	}
	if th := s.Threads[4]; th.Runnable > 300 || th.Runtime < uint64(200*ms) || th.Runtime > uint64(800*ms) {
		t.Errorf("sleeper %+v", th)
	}
	if rq := s.Runqueues[1]; rq.NrRunning != 4 || rq.NrQueued != 4 || !rq.Online || rq.LoadAvg < 4000 {
		t.Errorf("runqueue %+v", rq)
	}
}

// A second host of the same seed goes the same way.
func TestDeterministic(t *testing.T) {
	var got [2]*features.Snapshot
	for i := range got {
		h := newHost(t, "2x4x2", sim.Options{Seed: 7, Kernel: true, NUMABalancing: true})
		h.Start(30, sim.Spec{CPU: 3, Run: 20 * ms, Sleep: 30 * ms, Home: 1, TGID: 5, Grouped: true})
		h.Step(2000 * ms)
		got[i] = snap(t, h)
	}
	if diff := cmp.Diff(got[0].Threads, got[1].Threads); diff != "" {
		t.Error(diff)
	}
	if th := got[0].Threads[0]; th.PreferredNode != 1 || th.NUMAType != features.HasFaults|features.HasGroup || got[0].Faults[0].GroupTotal <= got[0].Faults[0].TaskTotal {
		t.Errorf("thread %+v with faults %+v", th, got[0].Faults[0])
	}
}

func TestKernelPullsWhenIdle(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		h := newHost(t, "1x2x1", sim.Options{Kernel: kernel})
		h.Start(2, sim.Spec{CPU: 1})
		h.Step(100 * ms)
		s := snap(t, h)
		if moved := s.Threads[0].CPU != s.Threads[1].CPU; moved != kernel {
			t.Errorf("kernel %v: moved %v", kernel, moved)
		}
	}
}

func TestHoldsAndLeases(t *testing.T) {
	h := newHost(t, "1x4x1", sim.Options{})
	id := h.Start(1, sim.Spec{CPU: 0})[0]
	s := snap(t, h)
	if err := errors.Join(h.Apply(s, []features.Hold{{Thread: 0, CPU: 2}}, 50*ms)...); err != nil {
		t.Fatal(err)
	}
	h.Step(20 * ms)
	child, err := h.Fork(id)
	if err != nil {
		t.Fatal(err)
	}
	var raw features.Snapshot
	if err := h.Snapshot(&raw); err != nil || raw.Masks[raw.Threads[1].Allowed].String() != "2" {
		t.Errorf("child has mask %v, want its parent's: %v", raw.Masks[raw.Threads[1].Allowed], err)
	}
	s = snap(t, h)
	if p, c := s.Threads[0], s.Threads[1]; p.CPU != 2 || p.Hold != 2 || c.Hold != -1 || s.Masks[p.Owner].String() != "0-3" {
		t.Errorf("parent %+v, child %+v", p, c)
	}
	h.Step(60 * ms)
	if s = snap(t, h); s.Threads[0].Hold != -1 {
		t.Error("still held after its lease")
	}
	h.Apply(s, []features.Hold{{Thread: 0, CPU: 3}}, 0)
	h.Step(1000 * ms)
	if s = snap(t, h); s.Threads[0].Hold != 3 {
		t.Error("a hold without lease ended")
	}
	h.Release(s, []int32{0})
	if s = snap(t, h); s.Threads[0].Hold != -1 {
		t.Error("not released")
	}
	if err := errors.Join(h.Exit(child), h.Exit(id)); err != nil {
		t.Fatal(err)
	}
	if err := h.Apply(s, []features.Hold{{Thread: 0, CPU: 3}}, 0)[0]; !errors.Is(err, syscall.ESRCH) {
		t.Errorf("hold of a thread that ended: %v", err)
	}
}

// A thread whose owner changes its mask while it is held is not ours.
func TestForeignMask(t *testing.T) {
	h := newHost(t, "1x4x1", sim.Options{})
	id := h.Start(1, sim.Spec{CPU: 0})[0]
	h.Apply(snap(t, h), []features.Hold{{Thread: 0, CPU: 2}}, 0)
	if err := h.SetMask(id, topology.NewCPUSet(1)); err != nil {
		t.Fatal(err)
	}
	if th := snap(t, h).Threads[0]; th.Managed || th.Hold != -1 || th.CPU != 1 {
		t.Errorf("thread %+v", th)
	}
}

func TestHotplug(t *testing.T) {
	h := newHost(t, "2x1x2", sim.Options{})
	h.Start(3, sim.Spec{CPU: 3, Owner: topology.NewCPUSet(0, 3)})
	if err := errors.Join(h.SetOnline(3, false), h.SetOnline(1, false)); err != nil {
		t.Fatal(err)
	}
	s := snap(t, h)
	for _, th := range s.Threads {
		if th.CPU != 0 {
			t.Errorf("thread %+v", th)
		}
	}
	topo := h.Topology()
	if len(topo.Domains) != 1 || topo.Domains[0].Level != topology.Machine || topo.Online.String() != "0,2" || topo.SameCore(2, 3) {
		t.Errorf("topology %+v", topo)
	}
	if err := errors.Join(h.SetOnline(3, true), h.SetOnline(1, true)); err != nil {
		t.Fatal(err)
	}
	if got, want := h.Topology().Domains, newHost(t, "2x1x2", sim.Options{}).Topology().Domains; !cmp.Equal(got, want) {
		t.Errorf("domains %v, want %v", got, want)
	}
	if err := newHost(t, "1x1x1", sim.Options{}).SetOnline(0, false); err == nil {
		t.Error("the last cpu went")
	}
}

// Check finds holds that no plan may ask for.
func TestCheck(t *testing.T) {
	for name, spec := range map[string]sim.Spec{
		"kernel thread": {Flags: features.FlagKthread},
		"deadline":      {Policy: features.SchedDeadline},
		"narrowed":      {Narrowed: true},
		"outside":       {Owner: topology.NewCPUSet(0)},
		"pinned":        {MigrationDisabled: true},
	} {
		h := newHost(t, "1x2x1", sim.Options{})
		h.Start(1, spec)
		h.Apply(snap(t, h), []features.Hold{{Thread: 0, CPU: 1}}, 0)
		if h.Check() == nil {
			t.Errorf("%s: held without a word", name)
		}
	}
}
