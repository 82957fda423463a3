// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// workersEnv names the directory in which each worker leaves its arguments.
const workersEnv = "MLLB_STRESS_WORKERS"

// TestMain lets Run start this test binary as its worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stress" {
		if os.Args[len(os.Args)-1] != "--worker" {
			os.Exit(3)
		}
		if err := os.WriteFile(filepath.Join(os.Getenv(workersEnv), strconv.Itoa(os.Getpid())), []byte(strings.Join(os.Args[2:], " ")), 0o644); err != nil {
			os.Exit(4)
		}
		time.Sleep(time.Minute) // until Run kills it
	}
	os.Exit(m.Run())
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Kind: "bursts", Threads: 1}, ""},
		{Spec{Kind: "bursts", Threads: 4, Procs: 4}, ""},
		{Spec{Kind: "spam", Threads: 1}, `load "spam" is not one of bursts, forks, idle, memory`},
		{Spec{Kind: "bursts"}, "--threads 0 is not in 1..10000"},
		{Spec{Kind: "bursts", Threads: 10_001}, "--threads 10001 is not in"},
		{Spec{Kind: "bursts", Threads: 2, Procs: 3}, "--procs 3 is not in 1..2"},
		{Spec{Kind: "bursts", Threads: 2, Procs: -1}, "--procs -1 is not in 1..2"},
	} {
		err := tt.spec.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.spec, err, tt.want)
		}
	}
}

// steps is what one thread of a load did until the load was told to end.
type steps struct {
	tid    int
	n      int
	burnt  int  // steps in which it computed
	walked bool // beyond the first page of its memory
}

// TestWork has each of three threads burn in some steps, and walk over its memory,
// and then ends the load.
func TestWork(t *testing.T) {
	const threads, enough = 3, 4
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen := observe(t, k.Name, func(all map[int]*steps) {
				for i := range threads {
					if all[i] == nil || all[i].n < enough {
						return
					}
				}
				cancel()
			})
			if err := Work(ctx, Spec{Kind: k.Name, Threads: threads, Seed: 7}); err != nil {
				t.Fatal(err)
			}
			if ctx.Err() == nil {
				t.Error("it ended before its time")
			}
			tids := map[int]bool{}
			for i, s := range seen {
				tids[s.tid] = true
				if s.burnt < enough || !s.walked {
					t.Errorf("thread %d: %+v", i, s)
				}
			}
			if len(seen) != threads || len(tids) != threads {
				t.Errorf("%d threads took part, by %d ids, want %d", len(seen), len(tids), threads)
			}
		})
	}
}

// observe watches the steps of a kind until the test ends: after each it calls done
// with what the threads did so far, by their index.
func observe(t *testing.T, kind string, done func(all map[int]*steps)) map[int]*steps {
	t.Helper()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == kind })
	was := kinds[i]
	t.Cleanup(func() { kinds[i] = was })
	var mu sync.Mutex
	all := map[int]*steps{}
	kinds[i].step = func(th *thread) {
		sum := th.sum
		was.step(th)
		mu.Lock()
		defer mu.Unlock()
		s := all[th.index]
		if s == nil {
			s = &steps{}
			all[th.index] = s
		}
		s.n++
		s.tid = unix.Gettid()
		if th.sum != sum {
			s.burnt++
		}
		s.walked = s.walked || slices.ContainsFunc(th.memory[page:], func(b byte) bool { return b != 0 })
		done(all)
	}
	return all
}

// TestDuty adds up what threads ask for. They were told to end, so nothing of it is
// done, and it takes no time.
func TestDuty(t *testing.T) {
	const threads = 4
	for _, k := range Kinds() {
		duty, done := 0.0, make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: some kinds pin the thread
			var owner unix.CPUSet
			err := unix.SchedGetaffinity(0, &owner)
			for i := range threads {
				th := &thread{index: i, stop: &atomic.Bool{}, rng: newRand(7, i, 0), owner: owner}
				th.stop.Store(true)
				for range 1000 {
					k.step(th)
				}
				duty += th.burns.Seconds() / (th.burns + th.sleeps).Seconds() / threads
				err = first(err, th.err)
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if math.Abs(duty-k.Duty) > 0.05 {
			t.Errorf("%s: its threads want a CPU for %.3f of the time, want %.2f", k.Name, duty, k.Duty)
		}
	}
}

// TestSleep: a thread that sleeps does so as long as it says, at least, and leaves
// its CPU for it.
func TestSleep(t *testing.T) {
	const d = 20 * time.Millisecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	th := &thread{stop: &atomic.Bool{}}
	begin, switches := time.Now(), voluntary(t)
	th.sleep(d)
	if slept := time.Since(begin); th.err != nil || slept < d || voluntary(t) == switches {
		t.Errorf("%v, %v, and it was %d times off its CPU", th.err, slept, voluntary(t)-switches)
	}
}

// voluntary counts how often this thread left its CPU of its own will.
func voluntary(t *testing.T) int64 {
	t.Helper()
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &ru); err != nil {
		t.Fatal(err)
	}
	return ru.Nvcsw
}

// TestRun spreads three threads over two processes, and ends with its context.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(workersEnv, dir)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Spec{Kind: "bursts", Threads: 3, Procs: 2, Seed: 5}) }()
	var got []string
	for end := time.Now().Add(time.Minute); len(got) < 2; time.Sleep(time.Millisecond) {
		got = nil
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || time.Now().After(end) {
			t.Fatalf("%v are there, %v", files, err)
		}
		for _, file := range files {
			if b, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			} else if len(b) > 0 {
				got = append(got, string(b))
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	slices.Sort(got)
	want := []string{"bursts --threads 1 --procs 1 --seed 4294967301 --worker", "bursts --threads 2 --procs 1 --seed 5 --worker"}
	if !slices.Equal(got, want) {
		t.Errorf("workers %q, want %q", got, want)
	}
}

// TestPinReleases checks that what a thread does to its own mask it undoes.
func TestPinReleases(t *testing.T) {
	th := &thread{rng: newRand(1, 0, 0)}
	if err := unix.SchedGetaffinity(0, &th.owner); err != nil {
		t.Fatal(err)
	}
	done := make(chan [2]unix.CPUSet)
	go func() {
		var masks [2]unix.CPUSet
		runtime.LockOSThread() // and never unlocked: the thread ends here
		th.pin()
		th.err = first(th.err, unix.SchedGetaffinity(0, &masks[0]))
		th.release()
		th.err = first(th.err, unix.SchedGetaffinity(0, &masks[1]))
		done <- masks
	}()
	masks := <-done
	if th.err != nil {
		t.Fatal(th.err)
	}
	if masks[0].Count() != 1 || masks[1] != th.owner {
		t.Errorf("pinned to %d CPUs, then %v, want %v", masks[0].Count(), masks[1], th.owner)
	}
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// TestSeed checks that a thread's draws follow from the seed, its index and its
// life alone.
func TestSeed(t *testing.T) {
	draw := func(seed uint64, index int, life uint64) time.Duration {
		return (&thread{rng: newRand(seed, index, life)}).between(0, time.Hour)
	}
	want := draw(1, 2, 3)
	if again := draw(1, 2, 3); again != want {
		t.Errorf("the same seed gives %v and %v", want, again)
	}
	for _, other := range []time.Duration{draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)} {
		if other == want {
			t.Error("another seed, thread or life gives the same")
		}
	}
}
