// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"mllb/scheduler"
	"mllb/topology"
)

// A thread alone on a slow CPU goes to an idle one that is faster by a quarter, once that
// has lasted, and stays there.
func TestMisfits(t *testing.T) {
	any := func(*bed) {}
	for _, tc := range []struct {
		name, machine string
		speeds        []uint32
		change        func(x *bed) // the one thread is on CPU 0
		policy        scheduler.Policy
		tick          int   // of the move, -1: none
		to            int32 // where the thread ends
	}{
		{"half as fast", "1x4x1", []uint32{512, 1024, 1000, 1024}, any, scheduler.CFS{}, 10, 1},
		{"the fastest", "1x4x1", []uint32{200, 300, 400, 1024}, any, scheduler.CFS{}, 10, 3},
		{"no policy is asked, but never forbids it", "1x2x1", []uint32{512, 1024}, any, scheduler.Never{}, -1, 0},
		{"a tenth slower", "1x2x1", []uint32{920, 1024}, any, scheduler.CFS{}, -1, 0},
		{"a fifth slower", "1x2x1", []uint32{819, 1024}, any, scheduler.CFS{}, 10, 1},
		{"within an eighth of the fastest", "1x3x1", []uint32{80, 150, 1024}, func(x *bed) { x.put(2, 1)[0].Managed = false }, scheduler.CFS{}, -1, 0},
		{"slower than the idle ones", "1x4x1", []uint32{512, 512, 500, 300}, any, scheduler.CFS{}, -1, 0},
		{"speeds are not known", "1x2x1", []uint32{0, 0}, any, scheduler.CFS{}, -1, 0},
		{"that of the idle one is not known", "1x2x1", []uint32{512, 0}, any, scheduler.CFS{}, -1, 0},
		{"not beside a busy sibling", "1x2x2x2", []uint32{300, 300, 1024, 1024, 1024, 1024, 600, 600}, func(x *bed) {
			x.put(2, 1)[0].Managed = false
			x.put(4, 1)[0].Managed = false
		}, scheduler.CFS{}, 20, 6},
		{"not to another sibling", "1x1x2", []uint32{512, 1024}, any, scheduler.CFS{}, -1, 0},
		{"its owner forbids it", "1x4x1", []uint32{512, 1024, 900, 1024}, func(x *bed) {
			x.s.Threads[0].Owner = x.s.Mask(topology.NewCPUSet(0, 2))
		}, scheduler.CFS{}, 10, 2},
		{"not ours", "1x2x1", []uint32{512, 1024}, func(x *bed) { x.s.Threads[0].Managed = false }, scheduler.CFS{}, -1, 0},
		{"migration is disabled", "1x2x1", []uint32{512, 1024}, func(x *bed) { x.s.Threads[0].MigrationDisabled = true }, scheduler.CFS{}, -1, 0},
		{"another cache", "1x2x1x1", []uint32{512, 1024}, any, scheduler.CFS{}, 20, 1},
		{"another node", "2x1x1", []uint32{512, 1024}, any, scheduler.CFS{}, 30, 1},
		{"near before fast", "2x2x1", []uint32{300, 600, 1024, 1024}, any, scheduler.CFS{}, 10, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newBed(t, tc.machine, tc.policy, scheduler.Config{})
			x.put(0, 1)
			for cpu, v := range tc.speeds {
				x.s.Runqueues[cpu].Speed = v
			}
			tc.change(x)
			got, total := -1, 0
			for i := range 35 {
				if n := len(x.moved(x.tick())); n > 0 {
					got, total = i, total+n
				}
			}
			if got != tc.tick || total > 1 || x.s.Threads[0].CPU != tc.to {
				t.Errorf("%d moves, the last at tick %d, to cpu %d; want tick %d, cpu %d", total, got, x.s.Threads[0].CPU, tc.tick, tc.to)
			}
		})
	}
}

// Two threads on siblings that the topology does not show: each seems to gain by leaving,
// but one is enough.
func TestHiddenSiblingsPart(t *testing.T) {
	x := newBed(t, "1x4x1", scheduler.CFS{}, scheduler.Config{})
	x.put(0, 1)
	x.put(1, 1)
	measure := func(was []uint32) (speeds []uint32) { // about once a second
		if was != nil && x.s.Time/int64(tick)%10 != 0 {
			return was
		}
		busy := map[int32]bool{}
		for i := range x.s.Threads {
			busy[x.s.Threads[i].CPU] = true
		}
		for cpu := range int32(4) {
			speeds = append(speeds, 1024)
			if busy[cpu^1] {
				speeds[cpu] = 530
			}
		}
		return speeds
	}
	var speeds []uint32
	moves := 0
	for range 100 {
		speeds = measure(speeds)
		for cpu, v := range speeds {
			x.s.Runqueues[cpu].Speed = v
		}
		moves += len(x.moved(x.tick()))
	}
	if a, b := x.s.Threads[0].CPU, x.s.Threads[1].CPU; moves != 1 || a/2 == b/2 {
		t.Errorf("%d moves, threads on cpus %d and %d", moves, a, b)
	}
}

// What is measured differs a little each time. No thread follows that, whatever the CPUs
// are worth on average.
func TestNoiseMovesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for speed := uint32(100); speed <= 1024; speed += 12 {
		for _, lens := range [][]int{{1, 0, 1, 0, 1, 0, 0, 0}, {20, 20, 20, 20, 20, 20, 20, 20}} {
			x := newBed(t, "1x4x2", scheduler.Always{}, scheduler.Config{CoolDown: time.Millisecond})
			for cpu, n := range lens {
				x.put(cpu, n)
			}
			late := 0
			for i := range 300 {
				for cpu := range x.s.Runqueues {
					if i%10 == 0 { // about once a second
						x.s.Runqueues[cpu].Speed = speed*24/25 + rng.Uint32N(speed*2/25)
					}
				}
				if n := len(x.moved(x.tick())); i >= 100 {
					late += n
				}
			}
			if late > 0 {
				t.Errorf("speed %d, queues %v: %d moves of threads that were at rest", speed, lens, late)
			}
		}
	}
}

// Where nothing waits, idle CPUs that are slower get nothing: not even a node of them.
func TestRunningThreadsKeepFastCPUs(t *testing.T) {
	for speed, moves := range map[uint32]int{1024: 2, 512: 0} {
		x := newBed(t, "2x4x1", scheduler.CFS{}, scheduler.Config{})
		for cpu := range 4 {
			x.put(cpu, 1)
			x.s.Runqueues[cpu].Speed, x.s.Runqueues[4+cpu].Speed = 1024, speed
		}
		n := 0
		for range 40 {
			n += len(x.moved(x.tick()))
		}
		want(t, "moves", moves, n)
	}
}

// What waits beside a running thread goes to a slower CPU if it gets there at least what
// it gets here: then that thread, too, gets more.
func TestWaitingThreadsUseSlowCPUs(t *testing.T) {
	for speed, moves := range map[uint32]int{1024: 1, 512: 1, 384: 0} {
		x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
		x.put(0, 2)
		x.s.Runqueues[0].Speed, x.s.Runqueues[1].Speed = 1024, speed
		want(t, "moves", moves, len(x.moved(x.tick())))
		want(t, "moves afterwards", []int{0, 0, 0}, x.counts(3))
	}
}

// A plan says what a thread would gain, whoever carries it out.
func TestGain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		speeds [2]uint32
		lens   [2]int
		want   int64
	}{
		{"a CPU to itself instead of half", [2]uint32{}, [2]int{2, 0}, 1024},
		{"a third instead of a quarter", [2]uint32{1024, 1024}, [2]int{4, 2}, 341},
		{"half as fast, but alone", [2]uint32{1024, 512}, [2]int{2, 0}, 0},
		{"twice as fast", [2]uint32{500, 1000}, [2]int{1, 0}, 1024},
	} {
		x := newBed(t, "1x2x1", scheduler.Always{}, scheduler.Config{})
		b := scheduler.NewBalancer(x.topo, scheduler.Config{Mode: scheduler.Observe}, scheduler.Always{})
		for cpu, n := range tc.lens {
			for range n {
				x.put(cpu, 1)[0].Hold = -1
			}
			x.s.Runqueues[cpu].Speed = tc.speeds[cpu]
		}
		var got []int64
		for len(got) == 0 && x.s.Time < 1e12+3e9 {
			p := b.Plan(&x.s)
			for i := range p.Candidates {
				if c := &p.Candidates[i]; c.Hold >= 0 {
					got = append(got, c.Gain)
				}
			}
			b.Commit(&x.s, p, nil)
			x.s.Time += int64(tick)
		}
		want(t, tc.name, []int64{tc.want}, got)
	}
}
