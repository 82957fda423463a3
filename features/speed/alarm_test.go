// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"math/rand/v2"
	"testing"
	"time"
)

// neighbours is a trace of two busy CPUs of a virtual machine. Its host runs others on
// the SMT siblings of their cores, which the machine is not told: the rates spread by a
// third, and in runs.
const neighbours = "testdata/neighbours.trace"

// change is a machine that changes at a moment.
type change func(r *rand.Rand, from time.Duration) machine

func TestTimeToKnow(t *testing.T) {
	tr := readTrace(t, neighbours)
	halved := func(of func(r *rand.Rand) machine) change {
		return func(r *rand.Rand, from time.Duration) machine { return slowed(of(r), from, 0.5) }
	}
	away := func(of func(r *rand.Rand) machine, slice time.Duration) change {
		return func(r *rand.Rand, from time.Duration) machine { return shared(r, of(r), from, 0.5, slice) }
	}
	quiet := func(r *rand.Rand) machine { return noisy(r, 0.02, 0) }
	noise := func(r *rand.Rand) machine { return noisy(r, 0.3, 0.02) }
	played := func(r *rand.Rand) machine { return tr.play(r, r.IntN(len(tr.cpus))) }
	for _, tt := range []struct {
		name  string
		busy  bool
		run   change
		limit time.Duration // for 95 % of the runs
	}{
		{"half the pace, quiet", false, halved(quiet), 3 * time.Second},
		{"half the pace, quiet and busy", true, halved(quiet), 3 * time.Second},
		{"half the pace, noise", false, halved(noise), 3 * time.Second},
		{"half the time in turns of 4 ms, quiet", true, away(quiet, 4*time.Millisecond), 3 * time.Second},
		{"half the time in turns of 4 ms, noise", true, away(noise, 4*time.Millisecond), 3500 * time.Millisecond},
		{"half the time in turns of 50 ms, noise", true, away(noise, 50*time.Millisecond), 3 * time.Second},
		{"half the time in turns of 4 ms, trace", true, away(played, 4*time.Millisecond), 3 * time.Second},
		// What a CPU loses to its neighbours here is nearly as much: that takes longer.
		{"half the pace, trace", true, halved(played), 9 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const runs = 200
			took, never := know(runs, tt.busy, 20*time.Second, tt.run)
			in := func(share float64) time.Duration { return took[min(len(took)-1, int(share*runs))] }
			t.Logf("median %v, 95 %% %v, 99 %% %v, never %d", in(0.5), in(0.95), in(0.99), never)
			if never > runs/100 || in(0.95) > tt.limit {
				t.Errorf("known after %v in 95 %% of the runs, not %v; never in %d of %d", in(0.95), tt.limit, never, runs)
			}
		})
	}
}

func TestFalseAlarms(t *testing.T) {
	tr := readTrace(t, neighbours)
	for _, tt := range []struct {
		name string
		run  func(r *rand.Rand) machine
	}{
		{"quiet", func(r *rand.Rand) machine { return noisy(r, 0.02, 0) }},
		{"noise", func(r *rand.Rand) machine { return noisy(r, 0.3, 0.05) }},
		{"much noise", func(r *rand.Rand) machine { return noisy(r, 0.6, 0.05) }},
		{"trace of CPU 0", func(r *rand.Rand) machine { return tr.play(r, 0) }},
		{"trace of CPU 1", func(r *rand.Rand) machine { return tr.play(r, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const hours = 10
			for _, busy := range []bool{false, true} {
				alarms := 0
				for seed := range uint64(hours) {
					r := rand.New(rand.NewPCG(seed, 1))
					watch(oneCPU(r, busy), tt.run(r), 0, time.Hour, func(time.Duration) { alarms++ })
				}
				t.Logf("busy %v: %d alarms in %d hours", busy, alarms, hours)
				if alarms > hours {
					t.Errorf("busy %v: %d alarms in %d hours", busy, alarms, hours)
				}
			}
		})
	}
}

// TestLateAnyway: where the CPUs are emulated all threads wake up as late as
// elsewhere only those of a CPU that was away.
func TestLateAnyway(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m := func(time.Duration) Sample {
		return Sample{Rate: 1e9, Late: time.Duration(400+r.IntN(400)) * time.Microsecond}
	}
	g := oneCPU(r, true)
	watch(g, m, 0, 2*time.Minute, nil) // there may be an alarm at first
	if got := g.tracks[0].speed(start.Add(2 * time.Minute)); got != 1e9 {
		t.Errorf("speed %v", got)
	}
	watch(g, shared(r, m, 0, 0.5, 10*time.Millisecond), 2*time.Minute, 130*time.Second, nil)
	if got := g.tracks[0].speed(start.Add(130 * time.Second)); got > 0.75e9 {
		t.Errorf("away half of the time: speed %v", got)
	}
}

// TestRegained: a CPU that is as fast as before is known to be, as soon as one that is not.
func TestRegained(t *testing.T) {
	for _, tt := range []struct {
		name string
		lost func(r *rand.Rand, m machine, part float64) machine
	}{
		{"pace", func(_ *rand.Rand, m machine, part float64) machine { return slowed(m, 0, part) }},
		{"time", func(r *rand.Rand, m machine, part float64) machine {
			return shared(r, m, 0, part, 10*time.Millisecond)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			m := noisy(r, 0.1, 0)
			g, full := oneCPU(r, true), 0.95e9
			is := func(at time.Duration) float64 { return g.tracks[0].speed(start.Add(at)) / full }
			watch(g, m, 0, 30*time.Second, nil)
			if got := is(30 * time.Second); got < 0.9 || got > 1.1 {
				t.Errorf("before: %.2f", got)
			}
			watch(g, tt.lost(r, m, 0.5), 30*time.Second, 90*time.Second, nil)
			if got := is(90 * time.Second); got < 0.35 || got > 0.65 {
				t.Errorf("halved: %.2f", got)
			}
			watch(g, m, 90*time.Second, 94*time.Second, nil)
			if got := is(94 * time.Second); got < 0.9 || got > 1.1 {
				t.Errorf("regained: %.2f", got)
			}
		})
	}
}
