// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mllb/topology"
)

// TestUnable: what cannot be probed ends with one line.
func TestUnable(t *testing.T) {
	after := func(d time.Duration, change func(*simulated)) func(*simulated) {
		return func(s *simulated) {
			s.change = func(now time.Time, s *simulated) {
				if now.After(time.Unix(0, 0).Add(d)) {
					change(s)
				}
			}
		}
	}
	for _, tt := range []struct {
		name string
		set  func(*simulated)
		want string
	}{
		{"one CPU", func(s *simulated) { s.allowed = topology.NewCPUSet(5) },
			"a probe compares CPUs, and this process may use only CPU 5"},
		{"none that is online", func(s *simulated) { s.allowed = topology.NewCPUSet(99) },
			"this process may use no CPU that is online"},
		{"a CPU goes", after(100*time.Millisecond, func(s *simulated) { s.allowed.Remove(3) }),
			"CPU 3 went off line, or is not allowed any more: probe again"},
		{"a CPU goes at the end", func(s *simulated) {
			s.change = func(now time.Time, s *simulated) {
				if s.handoffs > 100 {
					s.allowed.Remove(0) // it is not asked any more, but by the last look
				}
			}
		}, "CPUs came or went during the probe: {0-7} were allowed, now {1-7}: probe again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := flat(8).tell("1x8x1")
			tt.set(s)
			_, err := Run(context.Background(), s, Options{Told: s.told})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestComes: a CPU that comes, or goes unnoticed, makes what was measured half of
// the truth.
func TestComes(t *testing.T) {
	s := flat(8).tell("1x8x1")
	s.allowed = topology.NewCPUSet(0, 1, 2)
	s.change = func(now time.Time, s *simulated) { s.allowed.Add(7) }
	_, err := Run(context.Background(), s, Options{Told: s.told})
	if want := "CPUs came or went during the probe: {0-2} were allowed, now {0-2,7}: probe again"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestContainer: of 64 CPUs a process may use three. They are probed, the others
// are as told.
func TestContainer(t *testing.T) {
	s := flat(64).stack([]int{10, 42}).tell("2x16x2")
	s.allowed = topology.NewCPUSet(10, 42, 51)
	p, err := Run(context.Background(), s, Options{Told: s.told})
	if err != nil {
		t.Fatal(err)
	}
	if p.Probed.String() != "10,42,51" {
		t.Errorf("probed %v", p.Probed)
	}
	if r, sure := p.Relation(10, 42); r != Stacked || !sure {
		t.Errorf("10 and 42 are %s, %v", r, sure)
	}
	top := p.Over(s.told)
	for cpu := range s.told.Online.All() {
		if cpu == 10 || cpu == 11 || cpu == 42 || cpu == 43 {
			continue
		}
		if !top.SameCore(cpu, cpu^1) || top.SameCore(cpu, 10) {
			t.Errorf("CPU %d is not as told", cpu)
		}
	}
}

// TestEnds: a probe ends with its context, whatever it is at.
func TestEnds(t *testing.T) {
	for _, works := range []int{0, 20, 60, 100} {
		ctx, cancel := context.WithCancel(context.Background())
		s := flat(16).stack(every(16, 2, 1)...).tell("1x16x1")
		s.change = func(_ time.Time, s *simulated) {
			if s.works+s.handoffs >= works {
				cancel()
			}
		}
		_, err := Run(ctx, s, Options{Told: s.told})
		if !errors.Is(err, context.Canceled) || s.works+s.handoffs > works+1 {
			t.Errorf("after %d measurements: %v, %d made", works, err, s.works+s.handoffs)
		}
		cancel()
	}
}

// TestSpot: a look at a few pairs finds CPUs that are stacked next to each other
// or half of all apart, takes no time, and cries no wolf.
func TestSpot(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    *simulated
		want string
	}{
		{"two", machine("1x2x1"), ""},
		{"one", machine("1x1x1"), ""},
		{"stacked", flat(4).stack(every(4, 2, 1)...).tell("1x4x1"), "CPUs 0,1 behave as one"},
		{"stacked, told", flat(4).stack(every(4, 2, 1)...).tell("1x2x2"), ""},
		{"stacked crosswise", flat(64).stack(every(64, 2, 32)...).tell("1x64x1"), "CPUs 0,32 behave as one"},
		{"stacked, many", flat(512).stack(every(512, 2, 1)...).tell("1x512x1"), "CPUs 0,1 behave as one"},
		{"SMT as told", machine("2x16x8x2"), ""},
		{"other threads everywhere", func() *simulated { s := flat(4).tell("1x4x1"); s.busy = 1; return s }(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Spot(context.Background(), tt.s, tt.s.told)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if took := tt.s.now.Sub(time.Unix(0, 0)); took > 500*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestSpeeds: speeds are of 1024 for the fastest, and what a limit makes jump is
// not one.
func TestSpeeds(t *testing.T) {
	s := flat(6).tell("1x6x1")
	copy(s.speed, []float64{1, 0.5, 2, 2, 1, 0.1})
	s.change = func(now time.Time, s *simulated) { s.steady[4] = float64(now.UnixNano() / 3e6 % 2) } // all of it, now and then
	p, err := Run(context.Background(), s, Options{Told: s.told})
	if err != nil {
		t.Fatal(err)
	}
	for cpu, want := range []float64{512, 256, 1024, 1024, 0, 51} {
		got, sure := p.Speed(cpu)
		if want == 0 {
			if sure {
				t.Errorf("CPU %d: %d is sure", cpu, got)
			}
			continue
		}
		if !sure || float64(got) < 0.93*want || float64(got) > 1.07*want {
			t.Errorf("CPU %d: %d, %v, want %v", cpu, got, sure, want)
		}
	}
	if got, sure := p.Speed(6); got != 0 || sure {
		t.Errorf("a CPU that was not probed has %d", got)
	}
	words := strings.Join(p.Words(s.told), "\n")
	for _, want := range []string{"nothing hidden: ", "CPUs 0-1,5 did ", "uncertain: the speed of CPUs 4;"} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in: %s", want, words)
		}
	}
}
