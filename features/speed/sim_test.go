// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// machine says what a look at a CPU would find at a moment.
type machine func(at time.Duration) Sample

// start is the moment at which simulations begin.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What looks take, with and without work.
const (
	workCost = 200 * time.Microsecond
	lookCost = 30 * time.Microsecond
)

// watch has the one CPU of a group looked at for a time, and calls alarm for each alarm.
func watch(g *group, m machine, from, to time.Duration, alarm func(at time.Duration)) {
	for now := start.Add(from); ; {
		l, _ := g.next(now, withoutMax)
		if now = now.Add(l.After); now.After(start.Add(to)) {
			return
		}
		s := m(now.Sub(start))
		if s.Cost = workCost; !l.Work {
			s.Rate, s.Cost = 0, lookCost
		}
		g.credit -= s.Cost + runtimeCost
		t := g.tracks[0]
		before := t.alarms
		t.add(s, now, true)
		t.plan(now)
		if t.alarms > before && alarm != nil {
			alarm(now.Sub(start))
		}
	}
}

// oneCPU is a group of one.
func oneCPU(r *rand.Rand, busy bool) *group {
	return &group{tracks: []*track{{alone: true, busy: busy, random: r.Float64}}}
}

// noisy is a CPU whose samples are up to spread too slow, and some far more, as an
// interrupt makes them.
func noisy(r *rand.Rand, spread, outliers float64) machine {
	return func(time.Duration) Sample {
		s := Sample{Rate: 1e9 * (1 - spread*r.Float64()), Late: time.Duration(60+r.IntN(60)) * time.Microsecond}
		if r.Float64() < outliers {
			s.Rate *= 0.1
		}
		if r.Float64() < outliers {
			s.Late = 3 * time.Millisecond
		}
		return s
	}
}

// slowed is m at a part of its pace from a moment on: a lower frequency, a busy sibling.
func slowed(m machine, from time.Duration, part float64) machine {
	return func(at time.Duration) Sample {
		s := m(at)
		if at >= from {
			s.Rate *= part
		}
		return s
	}
}

// shared is m on a CPU that from a moment on runs for a part of the time only: its host
// runs it and something else in turns of slice.
func shared(r *rand.Rand, m machine, from time.Duration, part float64, slice time.Duration) machine {
	return func(at time.Duration) Sample {
		s := m(at)
		if at >= from && r.Float64() >= part {
			s.Late += time.Duration(r.Float64() * float64(slice))
		}
		return s
	}
}

// trace reads what TestRecord wrote.
type trace struct{ cpus [][]Sample }

func readTrace(t *testing.T, path string) *trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, n := bufio.NewReader(f), 0
	if _, err := fmt.Fscanf(in, "cpus %d\n", &n); err != nil {
		t.Fatal(err)
	}
	tr := &trace{make([][]Sample, n)}
	for i := 0; ; i++ {
		var rate, late int
		if _, err := fmt.Fscanf(in, "%d %d\n", &rate, &late); err != nil {
			break
		}
		tr.cpus[i%n] = append(tr.cpus[i%n], Sample{Rate: float64(rate), Late: time.Duration(late) * time.Microsecond})
	}
	return tr
}

// play plays a CPU of the trace round and round, from a random place.
func (tr *trace) play(r *rand.Rand, cpu int) machine {
	samples := tr.cpus[cpu]
	from := r.IntN(len(samples))
	return func(at time.Duration) Sample { return samples[(from+int(at/traceEvery))%len(samples)] }
}

// know returns how long it took until the speed was less than 3/4 of what it was before,
// in ascending order, and in how many of n runs it did not within limit.
func know(n int, busy bool, limit time.Duration, run func(r *rand.Rand, from time.Duration) machine) (took []time.Duration, never int) {
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		from := 60*time.Second + time.Duration(r.Int64N(int64(time.Second)))
		g := oneCPU(r, busy)
		m := run(r, from)
		watch(g, m, 0, from, nil)
		was := g.tracks[0].speed(start.Add(from))
		at := from
		for ; at < from+limit && g.tracks[0].speed(start.Add(at)) > 0.75*was; at += step {
			watch(g, m, at, at+step, nil)
		}
		if at >= from+limit {
			never++
			continue
		}
		took = append(took, at-from)
	}
	slices.Sort(took)
	return took, never
}

const step = 50 * time.Millisecond
