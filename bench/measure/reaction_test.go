// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReactionsOf(t *testing.T) {
	one := samplerMllbReaction{Count: 2, Sum: 30, Max: 20}
	one.Buckets[10], one.Buckets[20] = 1, 1
	two := samplerMllbReaction{Count: 1, Sum: 10, Max: 10}
	two.Buckets[10] = 1
	for name, tt := range map[string]struct {
		all             samplerMllbStarved
		otherwise, open uint64
	}{
		"all were pulled":               {samplerMllbStarved{Begun: 3, Newidle: 2, Wasted: 50}, 0, 0},
		"two ended otherwise":           {samplerMllbStarved{Begun: 5, Newidle: 2, Wasted: 50}, 2, 0},
		"one of them had not ended yet": {samplerMllbStarved{Begun: 5, Newidle: 2, Open: 1, Wasted: 50}, 1, 1},
		"the beginning was not seen":    {samplerMllbStarved{Begun: 2, Newidle: 2, Wasted: 50}, 0, 0},
	} {
		r := reactionsOf(&tt.all, []samplerMllbReaction{one, two})
		if h := r.Pulled; h.Count != 3 || h.Sum != 40 || h.Max != 20 || !slices.Equal(h.Buckets, []Bucket{{10, 11, 2}, {20, 21, 1}}) {
			t.Errorf("%s: pulled %+v", name, h)
		}
		if r.Otherwise != tt.otherwise || r.Open != tt.open || r.Newidle != 2 || r.Wasted != 50 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestReaction crowds two threads on one CPU, lets another idle, and then has one of
// them move there: one episode is as long as the other was idle at least. That is
// tried again where others did not leave that CPU alone.
func TestReaction(t *testing.T) {
	s := open(t)
	cpus := slices.Collect(host(t).Online.All())
	if len(cpus) < 2 {
		t.Skip("needs two CPUs")
	}
	for range 20 {
		w := newSpin(t, 2, cpus[0])
		start(t, s, Options{Root: w.pid()})
		begin := starving(t, s)
		time.Sleep(100 * time.Millisecond)
		crowded := time.Since(begin)
		moveOne(t, w.pid(), cpus[1])
		r := stop(t, s).Reactions
		w.end()
		long := uint64(0)
		for _, b := range r.Pulled.Buckets {
			if b.To > crowded {
				long += b.N
			}
		}
		t.Logf("crowded for %v: %d pulled, %d as long, the longest %v; %d otherwise; %v wasted", crowded, r.Pulled.Count, long, r.Pulled.Max, r.Otherwise, r.Wasted)
		if long > 1 {
			t.Fatalf("of one thread that moved: %+v", r)
		}
		if r.Pulled.Max >= crowded && r.Wasted >= crowded {
			return
		}
	}
	if os.Getenv("MLLB_LAB") != "1" {
		t.Skip("others did not leave the CPU alone")
	}
	t.Error("the thread that moved was never seen to end an episode as long as its wait")
}

func starved(t *testing.T, s *Sampler) (all samplerMllbStarved) {
	t.Helper()
	if err := s.follow.(*tree).objs.Starved.Lookup(uint32(0), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// starving waits until there is an episode.
func starving(t *testing.T, s *Sampler) time.Time {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if starved(t, s).Open > 0 {
			return time.Now()
		}
	}
	if os.Getenv("MLLB_LAB") != "1" {
		t.Skip("others keep all CPUs busy")
	}
	t.Fatal("no CPU was seen idle while a thread waits")
	return time.Time{}
}

// moveOne has one thread that spins move to a CPU, and waits until it has run there.
func moveOne(t *testing.T, pid, cpu int) {
	t.Helper()
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	spins := slices.MaxFunc(dirs, func(a, b string) int { return int(runtimeOf(t, a) - runtimeOf(t, b)) })
	tid, err := strconv.Atoi(filepath.Base(spins))
	if err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		t.Fatal(err)
	}
	for before, end := runtimeOf(t, spins), time.Now().Add(2*time.Minute); runtimeOf(t, spins) < before+50*time.Millisecond; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the thread that moved does not run")
		}
	}
}

// TestNewidle has threads sleep and wake, so that the kernel pulls one before it
// lets a CPU idle.
func TestNewidle(t *testing.T) {
	s := open(t)
	if host(t).Online.Count() < 2 {
		t.Skip("needs two CPUs")
	}
	w := newWorkload(t, fmt.Sprintf("nap %d 3", 2*runtime.NumCPU()))
	start(t, s, Options{Root: w.pid()})
	w.begin()
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && starved(t, s).Newidle == 0; {
		time.Sleep(100 * time.Millisecond)
	}
	r := stop(t, s).Reactions
	sum := uint64(0)
	for _, b := range r.Pulled.Buckets {
		sum += b.N
	}
	t.Logf("%d pulled, %d of them before the CPU was idle; median %v, p99 %v, max %v; %d otherwise; %v wasted", r.Pulled.Count, r.Newidle,
		r.Pulled.Quantile(0.5), r.Pulled.Quantile(0.99), r.Pulled.Max, r.Otherwise, r.Wasted)
	if r.Newidle == 0 && os.Getenv("MLLB_LAB") != "1" {
		t.Skip("others keep all CPUs busy")
	}
	if r.Newidle == 0 || r.Newidle > r.Pulled.Count || sum != r.Pulled.Count {
		t.Errorf("%d before the CPU was idle, of %d, %d of them in buckets", r.Newidle, r.Pulled.Count, sum)
	}
}

// TestNoReaction leaves a thread alone: nothing waits.
func TestNoReaction(t *testing.T) {
	s := open(t)
	w := newWorkload(t, "burn 1 100")
	stranger := newSpin(t, 2, 0)
	start(t, s, Options{Root: w.pid()})
	time.Sleep(200 * time.Millisecond)
	if r := stop(t, s).Reactions; r.Pulled.Count+r.Otherwise+r.Open > 0 || r.Wasted > 0 {
		t.Errorf("of a process that sleeps, beside one that is crowded: %+v", r)
	}
	stranger.end()
}
