// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets Run start this test binary as its worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "workload" {
		if os.Args[len(os.Args)-1] != "--worker" {
			os.Exit(3)
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
		{Spec{Kind: "spin", Threads: 1}, ""},
		{Spec{Kind: "spin", Threads: 4, Procs: 4}, ""},
		{Spec{Kind: "spam", Threads: 1}, `workload "spam" is not one of forks, idle, mixed`},
		{Spec{Kind: "spin"}, "0 threads are not in 1..10000"},
		{Spec{Kind: "spin", Threads: 10_001}, "10001 threads"},
		{Spec{Kind: "spin", Threads: 2, Procs: 3}, "3 processes for 2 threads"},
		{Spec{Kind: "spin", Threads: 2, Procs: -1}, "-1 processes"},
	} {
		err := tt.spec.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.spec, err, tt.want)
		}
	}
}

// TestWork runs each kind for a moment: it must burn, and end with its context.
func TestWork(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			before := cpuTime(t)
			if err := Work(ctx, Spec{Kind: k.Name, Threads: 3, Seed: 7}); err != nil {
				t.Error(err)
			}
			if used := cpuTime(t) - before; used == 0 {
				t.Error("it used no CPU time")
			}
			if ctx.Err() == nil {
				t.Error("it ended before its time")
			}
		})
	}
}

// cpuTime is that of this process so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := Run(ctx, Spec{Kind: "spin", Threads: 3, Procs: 2}); err != nil || ctx.Err() == nil {
		t.Errorf("%v, %v", err, ctx.Err())
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
