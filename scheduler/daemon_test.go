// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/topology"
)

func TestDaemonTick(t *testing.T) {
	gone := errors.New("gone")
	holds := Plan{Holds: []features.Hold{{Thread: 0, CPU: 1}, {Thread: 1, CPU: 0}}, Releases: []int32{2}}
	changed := []string{"snapshot", "sync", "mark", "plan", "apply", "release", "commit", "observe"}
	for _, tt := range []struct {
		name    string
		mode    Mode
		script  script
		calls   []string
		managed []bool
		lease   time.Duration
		errs    []error
	}{
		{"observe touches no enforcer", Observe, script{plan: holds},
			[]string{"snapshot", "mark", "plan", "commit", "observe"}, []bool{true, true, false}, 0, nil},
		{"assist holds for a lease", Assist, script{plan: holds, holdErrs: []error{nil, nil}},
			changed, []bool{true, true, false}, time.Minute, []error{nil, nil}},
		{"own holds until released", Own, script{plan: holds, holdErrs: []error{nil, gone}},
			changed, []bool{true, true, false}, 0, []error{nil, gone}},
		{"what is foreign to the enforcer stays unmanaged", Own, script{foreign: true},
			changed, []bool{true, false, false}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.script
			d := daemon(t, &f, tt.mode)
			if err := d.Tick(t.Context(), time.Now(), 7); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.calls, f.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.managed, f.managed); diff != "" {
				t.Errorf("managed (-want +got):\n%s", diff)
			}
			if f.lease != tt.lease {
				t.Errorf("lease %v, want %v", f.lease, tt.lease)
			}
			got := f.ticks[0]
			if got.Dropped != 7 || got.Err != nil || got.Plan != &f.plan || got.Snapshot == nil {
				t.Errorf("observer saw %+v", got)
			}
			if !slices.Equal(got.Errors, tt.errs) || !slices.Equal(f.commit, tt.errs) {
				t.Errorf("observer saw errors %v, planner %v, want %v", got.Errors, f.commit, tt.errs)
			}
		})
	}
}

func TestDaemonLetsGoOfWhatLeftTheScope(t *testing.T) {
	f := &script{held: []int32{1, 2}} // Mark leaves thread 2 out
	d := daemon(t, f, Own)
	if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.released, []int32{2}) {
		t.Errorf("released %v, want [2]", f.released)
	}
}

func TestDaemonIsNoLoad(t *testing.T) {
	f := &script{}
	d := daemon(t, f, Observe)
	d.Self = 9
	d.Host = runs{f}
	if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	s := f.ticks[0].Snapshot
	if s.Threads[0].Queued() || s.Threads[0].Running || s.Runqueues[1].NrRunning != 1 || s.Runqueues[1].NrQueued != 0 {
		t.Errorf("the daemon's own thread counts: %+v %+v", s.Threads[0], s.Runqueues[1])
	}
	if !s.Threads[1].Queued() || s.Runqueues[0].NrRunning != 1 {
		t.Errorf("somebody else's does not: %+v %+v", s.Threads[1], s.Runqueues[0])
	}
}

// TestDaemonSpeeds: what CPUs are worth is in the snapshot before anybody else sees it,
// and who knows it sees which CPUs are busy without the daemon.
func TestDaemonSpeeds(t *testing.T) {
	f := &script{}
	d := daemon(t, f, Own)
	d.Self = 9
	d.Host = runs{f}
	d.Speeds = worth{f}
	var planned []uint32
	f.onPlan = func() {
		for _, rq := range d.snapshot.Runqueues {
			planned = append(planned, rq.Speed)
		}
	}
	if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"snapshot", "speeds 1 1 0 0", "sync"}, f.calls[:3]); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{1024, 512, 0, 0}, planned); diff != "" {
		t.Errorf("the planner saw (-want +got):\n%s", diff)
	}
}

// worth is two CPUs, of which the second is half as fast.
type worth struct{ *script }

func (w worth) Speeds(s *features.Snapshot) {
	call := "speeds"
	for _, rq := range s.Runqueues {
		call += fmt.Sprint(" ", rq.NrRunning)
	}
	w.did(call)
	s.Runqueues[0].Speed, s.Runqueues[1].Speed = 1024, 512
}

// runs is a host on which process 9 runs on CPU 1 and process 8 on CPU 0.
type runs struct{ *script }

func (r runs) Snapshot(s *features.Snapshot) error {
	err := r.script.Snapshot(s)
	for i := range 2 {
		t, rq := &s.Threads[i], &s.Runqueues[1-i]
		t.TGID, t.CPU, t.State, t.Running = int32(9-i), int32(1-i), features.StateRunning, true
		rq.NrRunning, rq.NrQueued = uint32(2-i), uint32(1-i)
	}
	return err
}

func TestDaemonFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, call := range []string{"snapshot", "sync"} {
		t.Run(call, func(t *testing.T) {
			f := &script{fail: map[string]error{call: boom}}
			d := daemon(t, f, Own)
			err := d.Run(t.Context())
			if !errors.Is(err, ErrFailing) || !errors.Is(err, boom) {
				t.Fatalf("Run: %v, want ErrFailing and the last failure", err)
			}
			if len(f.ticks) != 3 {
				t.Errorf("%d ticks, want 3", len(f.ticks))
			}
			if slices.Contains(f.calls, "plan") || slices.Contains(f.calls, "apply") {
				t.Errorf("a failed tick went on: %v", f.calls)
			}
			if got := f.ticks[0]; got.Err == nil || got.Snapshot != nil || got.Plan != nil {
				t.Errorf("observer saw %+v", got)
			}
		})
	}
	t.Run("only in a row", func(t *testing.T) {
		f := &script{fail: map[string]error{}}
		d := daemon(t, f, Own)
		for i := range 10 {
			f.fail["snapshot"] = []error{boom, boom, nil}[i%3]
			if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
				t.Fatalf("tick %d: %v", i, err)
			}
		}
	})
}

func TestDaemonHotplug(t *testing.T) {
	f := &script{}
	d := daemon(t, f, Own)
	var reads int
	var fail error
	d.ReadTopology = func() (*topology.Topology, error) {
		reads++
		return mustParse(t, fmt.Sprintf("1x%dx1", f.cpus)), fail
	}
	tick := func(cpus, wantReads int, wantErr bool) {
		t.Helper()
		f.cpus = cpus
		if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		got := f.ticks[len(f.ticks)-1]
		if reads != wantReads || (got.Err != nil) != wantErr {
			t.Fatalf("with %d cpus: %d reads, want %d; tick error %v", cpus, reads, wantReads, got.Err)
		}
		if !wantErr && (f.topology != nil && f.topology.Online.Count() != cpus || got.Topology.Online.Count() != cpus) {
			t.Fatalf("with %d cpus: planner has %v, observer %v", cpus, f.topology, got.Topology)
		}
	}
	tick(2, 0, false)
	tick(1, 1, false)
	tick(1, 1, false)
	tick(4, 2, false)
	fail = errors.New("sysfs is in motion")
	tick(3, 3, true) // nothing is planned for a machine that is not known
	if last := f.calls[len(f.calls)-2]; last != "snapshot" {
		t.Errorf("after a failed read of the topology the tick went on to %s", last)
	}
	fail = nil
	tick(3, 4, false)
	d.ReadTopology = func() (*topology.Topology, error) { reads++; return mustParse(t, "1x3x1"), nil }
	f.topology, f.cpus = nil, 4
	if err := d.Tick(t.Context(), time.Now(), 0); err != nil || reads != 5 || f.topology != nil {
		t.Errorf("a list that stays as it is: %v, %d reads, planner has %v", err, reads, f.topology)
	}
}

// TestDaemonLeftOut: a partition is made, goes, and is made in vain.
func TestDaemonLeftOut(t *testing.T) {
	f := &script{cpus: 2}
	d := daemon(t, f, Own)
	out := func(cpus ...int) []topology.LeftOut {
		if len(cpus) == 0 {
			return nil
		}
		return []topology.LeftOut{{CPUs: topology.NewCPUSet(cpus...), Why: "isolated"}}
	}
	var now []topology.LeftOut
	reads, changed := 0, false
	d.Changed = func(was *topology.Topology) bool { return changed }
	d.ReadTopology = func() (*topology.Topology, error) {
		reads++
		topo := mustParse(t, "1x2x1")
		topo.LeftOut = now
		return topo, nil
	}
	for i, tt := range []struct {
		changed bool
		now     []topology.LeftOut
		reads   int
		planned []topology.LeftOut // what the planner was told; nil: nothing
	}{
		{false, nil, 0, nil},
		{true, out(1), 1, out(1)},
		{false, out(1), 1, nil},
		{true, out(1), 2, nil},
		{true, out(0, 1), 3, out(0, 1)},
		{true, out(), 4, out()},
	} {
		f.topology, now, changed = nil, tt.now, tt.changed
		if err := d.Tick(t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		told := reads == tt.reads && (f.topology != nil) == (tt.planned != nil || i == 5)
		if told && f.topology != nil {
			told = topology.SameLeftOut(f.topology.LeftOut, tt.planned)
		}
		if got := f.ticks[len(f.ticks)-1].Topology; !told || !topology.SameLeftOut(got.LeftOut, tt.now) {
			t.Errorf("tick %d: %d reads, want %d; planner has %v, observer %v", i, reads, tt.reads, f.topology, got.LeftOut)
		}
	}
}

func TestDaemonEndsMidTick(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &script{onPlan: cancel}
	d := daemon(t, f, Own)
	if err := d.Run(ctx); err != nil {
		t.Fatalf("Run: %v, want nil", err)
	}
	if got := strings.Join(f.calls, " "); got != "snapshot sync mark plan observe" {
		t.Errorf("cancelled while planning, the tick did: %s", got)
	}
}

// slow is an observer that takes longer than ticks are apart.
type slow struct {
	script
	cancel func()
}

func (s *slow) Tick(t *Tick) {
	s.script.Tick(t)
	if len(s.ticks) == 4 {
		s.cancel()
	}
	time.Sleep(10 * time.Millisecond)
}

func TestDaemonDropsTicks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &slow{cancel: cancel}
	d := daemon(t, &f.script, Observe)
	d.Observer = f
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	dropped := uint64(0)
	for _, tick := range f.ticks {
		dropped += tick.Dropped
	}
	if len(f.ticks) != 4 || dropped == 0 {
		t.Errorf("%d ticks and %d dropped, want 4 and some", len(f.ticks), dropped)
	}
}

func TestDaemonAllocatesNothing(t *testing.T) {
	f := &script{}
	d := daemon(t, f, Observe)
	d.Host, d.Observer, d.Scope, d.Planner = still{}, still{}, still{}, still{}
	ctx, now := t.Context(), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Tick(ctx, now, 0); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
}

// still is a host on which nothing happens, and a scope and planner for it.
type still struct{}

var emptyPlan Plan

func (still) Snapshot(*features.Snapshot) error         { return nil }
func (still) Mark(*features.Snapshot)                   {}
func (still) Tick(*Tick)                                {}
func (still) Plan(*features.Snapshot) *Plan             { return &emptyPlan }
func (still) Commit(*features.Snapshot, *Plan, []error) {}
func (still) SetTopology(*topology.Topology)            {}
