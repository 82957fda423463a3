// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// bed is a machine whose threads a test places by hand. Moves take effect at
// once and nothing else happens.
type bed struct {
	s    features.Snapshot
	b    *scheduler.Balancer
	topo *topology.Topology
	all  int32
}

func newBed(t *testing.T, desc string, policy scheduler.Policy, cfg scheduler.Config) *bed {
	t.Helper()
	cfg.Mode, cfg.Hold = scheduler.Own, scheduler.HoldAll
	x := &bed{topo: machine(t, desc)}
	x.s.Time = 1e12
	x.b = scheduler.NewBalancer(x.topo, cfg, policy)
	x.s.Runqueues = make([]features.Runqueue, len(x.topo.CPUs))
	for i := range x.s.Runqueues {
		x.s.Runqueues[i].Online = true
	}
	x.all = x.s.Mask(x.topo.Online)
	return x
}

// put adds n busy threads to a CPU; the first on it is running.
func (x *bed) put(cpu, n int) []features.Thread {
	for range n {
		t := features.Thread{
			ID: features.ID{TID: int32(len(x.s.Threads) + 1)}, CPU: int32(cpu), Hold: int32(cpu), State: 'R', Runnable: 1024,
			Managed: true, Owner: x.all, PreferredNode: features.NoNode, Faults: -1, Delta: 1e6,
		}
		t.Running = x.s.Runqueues[cpu].NrRunning == 0
		x.s.Runqueues[cpu].NrRunning++
		x.s.Runqueues[cpu].NrQueued++
		x.s.Threads = append(x.s.Threads, t)
	}
	return x.s.Threads[len(x.s.Threads)-n:]
}

// end takes the last thread away.
func (x *bed) end() {
	t := x.s.Threads[len(x.s.Threads)-1]
	x.s.Runqueues[t.CPU].NrRunning--
	x.s.Runqueues[t.CPU].NrQueued--
	x.s.Threads = x.s.Threads[:len(x.s.Threads)-1]
}

// tick plans, carries the moves out, and returns the candidates.
func (x *bed) tick() (looked []scheduler.Candidate) {
	p := x.b.Plan(&x.s)
	for i := range p.Candidates {
		if c := &p.Candidates[i]; c.Hold >= 0 {
			x.s.Runqueues[c.From].NrRunning--
			x.s.Runqueues[c.To].NrRunning++
			x.s.Runqueues[c.From].NrQueued--
			x.s.Runqueues[c.To].NrQueued++
		}
	}
	for _, h := range p.Holds {
		t := &x.s.Threads[h.Thread]
		t.CPU, t.Hold = h.CPU, h.CPU
	}
	x.b.Commit(&x.s, p, nil)
	x.s.Time += int64(tick)
	return append(looked, p.Candidates...)
}

// moved returns the ids of the threads moved, in order.
func (x *bed) moved(cs []scheduler.Candidate) (tids []int32) {
	for _, c := range cs {
		if c.Reason == scheduler.Moved {
			tids = append(tids, x.s.Threads[c.Thread].TID)
		}
	}
	return tids
}

// counts returns the number of moves of each tick.
func (x *bed) counts(ticks int) (n []int) {
	for range ticks {
		n = append(n, len(x.moved(x.tick())))
	}
	return n
}

func want(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestColdestFirst(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
	for i, th := 0, x.put(0, 6); i < 6; i++ {
		th[i].Delta = []int64{0, 3, 9, 7, 9, 1}[i]
	}
	want(t, "moved", []int32{3, 5, 4}, x.moved(x.tick()))
}

// A decision sees the queues as the moves before it leave them.
func TestDecisionsFollowMoves(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
	x.put(0, 6)
	var got [][4]uint32
	for _, c := range x.tick() {
		if d := &c.Decision; c.Asked {
			got = append(got, [4]uint32{d.SrcNrRunning, d.SrcLen, d.DstNrRunning, d.DstLen})
		}
	}
	want(t, "queues", [][4]uint32{{6, 6, 0, 0}, {5, 5, 1, 1}, {4, 4, 2, 2}}, got)
}

// Whoever takes the snapshot runs at that moment, and is not load.
func TestMomentaryThreads(t *testing.T) {
	for _, tc := range []struct {
		runnable []uint32
		moves    int
	}{
		{[]uint32{1024, 1024, 5}, 0},
		{[]uint32{1024, 1024, 300}, 1},
		{[]uint32{0, 0, 0}, 1}, // a reader that does not know
	} {
		x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
		x.put(1, 1)[0].Runnable = tc.runnable[0]
		for i, th := 0, x.put(0, 3); i < 3; i++ {
			th[i].Runnable = tc.runnable[i]
		}
		want(t, "moves", tc.moves, len(x.moved(x.tick())))
	}
}

// What asymmetric caution means, in moves per tick.
func TestCautionGrowsWithDistance(t *testing.T) {
	for _, tc := range []struct {
		name, machine string
		lens, want    []int
	}{
		{"siblings: two more of many are enough", "1x1x2", []int{40, 38}, []int{1, 0, 0, 0}},
		{"cores: two more of many are enough", "1x2x1", []int{40, 38}, []int{1, 0, 0, 0}},
		{"caches: 20 % is too little", "1x2x1x1", []int{12, 10}, []int{0, 0, 0, 0}},
		{"caches: 40 %, once it lasts", "1x2x1x1", []int{14, 10}, []int{0, 2, 0, 0}},
		{"nodes: 50 % is too little", "2x1x1", []int{15, 10}, []int{0, 0, 0, 0}},
		{"nodes: 100 %, once it lasts, half at a time", "2x1x1", []int{24, 12}, []int{0, 0, 3, 0}},
		{"nodes: a waiting thread and an idle cpu, at once", "2x1x1", []int{8, 0}, []int{1, 0, 1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newBed(t, tc.machine, scheduler.Always{}, scheduler.Config{Budget: 100})
			for cpu, n := range tc.lens {
				x.put(cpu, n)
			}
			want(t, "moves", tc.want, x.counts(4))
		})
	}
}

// The guard holds between groups as well as between CPUs: the coldest thread
// is too heavy for the node, the light one is not.
func TestGuardOfGroups(t *testing.T) {
	x := newBed(t, "2x2x1", scheduler.Always{}, scheduler.Config{})
	x.put(0, 1)[0].Managed = false
	x.put(3, 1)[0].Managed = false
	th := x.put(0, 2)
	th[0].Delta, th[1].Nice = 1e9, 19
	th[0].Owner, th[1].Owner = x.s.Mask(topology.NewCPUSet(0, 2)), x.s.Mask(topology.NewCPUSet(0, 2))
	var got []scheduler.Reason
	for _, c := range x.tick() {
		if c.Level == topology.Machine {
			got = append(got, c.Reason)
		}
	}
	want(t, "reasons", []scheduler.Reason{scheduler.TooHeavy, scheduler.Moved}, got)
}

// A node with an idle core gets the thread there, not beside a busy sibling.
func TestIdleCoreFirst(t *testing.T) {
	x := newBed(t, "2x2x2", scheduler.Always{}, scheduler.Config{Budget: 1})
	for cpu := range 4 {
		x.put(cpu, 2)
	}
	x.put(5, 1)
	cs := x.tick()
	if n := len(x.moved(cs)); n != 1 || cs[0].To != 6 {
		t.Errorf("%d moves, the first to cpu %d; want 1, to cpu 6", n, cs[0].To)
	}
}

// Between nodes a running thread is pushed only after cache_nice_tries + 2
// attempts failed, which are counted once the imbalance lasts.
func TestActiveBetweenNodes(t *testing.T) {
	x := newBed(t, "2x2x1", scheduler.CFS{}, scheduler.Config{})
	x.put(0, 1)
	x.put(1, 1)
	x.s.Threads[0].Owner = x.s.Mask(topology.NewCPUSet(0, 1))
	var active []bool
	for range 9 {
		cs := x.tick()
		active = append(active, len(cs) > 0 && cs[0].Active && cs[0].Thread == 1)
	}
	want(t, "pushed", []bool{false, false, false, false, false, false, false, true, false}, active)
}

// A core that got a thread is no longer idle for the next one.
func TestIdleCoresFillInTurn(t *testing.T) {
	x := newBed(t, "2x2x2", scheduler.Always{}, scheduler.Config{Budget: 3})
	for cpu := range 4 {
		x.put(cpu, 3)
	}
	var to []int32
	for _, c := range x.tick() {
		if c.Reason == scheduler.Moved {
			to = append(to, c.To)
		}
	}
	want(t, "destinations", []int32{4, 6, 5}, to)
}

// An imbalance that went away has to last anew.
func TestLastingIsInARow(t *testing.T) {
	x := newBed(t, "1x2x1x1", scheduler.Always{}, scheduler.Config{})
	x.put(1, 10)
	x.put(0, 14)
	got := x.counts(1)
	for range 4 {
		x.end()
	}
	got = append(got, x.counts(1)...)
	x.put(0, 4)
	want(t, "moves", []int{0, 0, 0, 2}, append(got, x.counts(2)...))
}

// A thread that moved is not pushed, either, until it has cooled down, and
// then after one failed attempt.
func TestActiveKeepsCoolDown(t *testing.T) {
	x := newBed(t, "1x2x2", scheduler.CFS{}, scheduler.Config{})
	x.put(0, 2)[0].Managed = false
	for range 2 {
		x.put(2, 1)[0].Managed = false // core 1 is taken at first
	}
	got := x.counts(1)
	x.end()
	x.end()
	x.s.Threads[1].Running = true
	want(t, "moves", []int{1, 0, 0, 0, 0, 0, 1}, append(got, x.counts(6)...))
}

// asked returns the failures and the idleness that the policy was told first.
func asked(cs []scheduler.Candidate) (int, features.IdleType) {
	for i := range cs {
		if cs[i].Asked {
			return int(cs[i].Decision.NrBalanceFailed), cs[i].Decision.Idle
		}
	}
	return -1, 0
}

func TestFailuresAreForgotten(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.CFS{}, scheduler.Config{Budget: 1})
	x.s.MigrationCost = -1 // always hot
	x.put(0, 4)
	var got []int
	for i := range 9 {
		switch i {
		case 4: // balance by other means
			x.end()
		case 5:
			x.put(0, 2)
		}
		n, _ := asked(x.tick())
		got = append(got, n)
	}
	// At 2 failures one moves, and they count anew, as they do after balance.
	want(t, "failures", []int{0, 1, 2, 0, -1, 0, 1, 2, -1}, got)
}

// A CPU that has only now become idle says so, and does not count its failure.
func TestNewlyIdle(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.CFS{}, scheduler.Config{})
	x.s.MigrationCost = -1
	x.put(0, 2)
	x.put(1, 1)
	x.tick()
	x.end()
	type answer struct {
		Failed int
		Idle   features.IdleType
	}
	var got []answer
	for range 3 {
		n, idle := asked(x.tick())
		got = append(got, answer{n, idle})
	}
	want(t, "asked", []answer{{0, features.NewlyIdle}, {0, features.Idle}, {1, features.Idle}}, got)
}

func TestCoolDownsAreForgotten(t *testing.T) {
	x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{CoolDown: time.Second})
	x.put(0, 8)
	x.tick()
	want(t, "cool-downs", 4, x.b.Cooling())
	x.s.Time += int64(2 * time.Second)
	x.tick()
	want(t, "cool-downs", 0, x.b.Cooling())
}
