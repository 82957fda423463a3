// SPDX-License-Identifier: Apache-2.0

// Package fixed makes loads that do a fixed amount of work, once: how long one
// takes says how well it was scheduled. What each thread does follows from the
// seed, and a sum over all of it, known beforehand, shows that it was done.
//
// The scheduler under test is the kernel's, so Go's must not take part: each
// thread works in functions that the runtime cannot interrupt (nosplit), waits
// in the kernel by raw system calls, and ends with its goroutine.
package fixed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"mllb/internal/number"
)

// Spec is one load.
type Spec struct {
	Kind    string // a name of Kinds
	Threads int
	Work    int // of each thread, on average: milliseconds of one CPU at about 3 GHz
	Seed    uint64
}

// Kind is one way to keep CPUs busy.
type Kind struct {
	Name, Help string
	Threads    int // the least it works with
	want       func(Spec) uint64
	start      func(Spec) (*load, error)
}

// load is one that was set up.
type load struct {
	threads []func() error
	sum     func() uint64 // when all threads have ended
	close   func()
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{"spin", "bursts of 20 to 400 ms with short pauses, one thread with up to three times the work of another", 1, spinWant, spinStart},
		{"wakers", "slices of 0.1 to 2 ms; threads wake each other in pairs, every other pair by pipes, the rest by futexes", 2, wakersWant, wakersStart},
		{"numa", "each thread walks at random over 16 MiB that it touched first", 1, numaWant, numaStart},
		{"pipeline", "five stages of unequal cost joined by short queues, as in PARSEC's dedup", 5, pipelineWant, pipelineStart},
		{"even", "threads of the same work, without a pause", 1, steadyWant, steadyStart},
		{"uneven", "the same, but one thread has up to three times the work of another", 1, steadyWant, steadyStart},
	}
}

// limits of a Spec: the threads of its largest host, and an hour of each.
const (
	maxThreads = 10_000
	maxWork    = 3_600_000
)

// Find returns the kind of that name.
func Find(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("workload %q is not one of %s", name, strings.Join(names, ", "))
}

// Validate says what is wrong with a spec.
func (s Spec) Validate() error {
	k, err := Find(s.Kind)
	switch {
	case err != nil:
		return err
	case s.Threads < k.Threads || s.Threads > maxThreads:
		return fmt.Errorf("workload %s: --threads %d is not in %d..%d", s.Kind, s.Threads, k.Threads, maxThreads)
	case s.Work < 1 || s.Work > maxWork:
		return fmt.Errorf("workload %s: work %d is not in 1..%d", s.Kind, s.Work, maxWork)
	}
	return nil
}

// Want is the sum that a run of the load comes to.
func Want(s Spec) (uint64, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	k, err := Find(s.Kind)
	if err != nil {
		return 0, err
	}
	return k.want(s), nil
}

// Run does the work and returns its sum; one that is not Want's is an error.
// When ctx ends first, threads may still be at work, and the program has to
// end too.
func Run(ctx context.Context, s Spec) (uint64, error) {
	want, err := Want(s)
	if err != nil {
		return 0, err
	}
	k, err := Find(s.Kind)
	if err != nil {
		return 0, err
	}
	l, err := k.start(s)
	if err != nil {
		return 0, fmt.Errorf("workload %s: %w", s.Kind, err)
	}
	done := make(chan error, 1)
	go func() { done <- l.run() }()
	select {
	case <-ctx.Done():
		return 0, fmt.Errorf("workload %s: %w", s.Kind, context.Cause(ctx))
	case err := <-done:
		l.close()
		if err != nil {
			return 0, fmt.Errorf("workload %s: %w", s.Kind, err)
		}
	}
	if got := l.sum(); got != want {
		return got, fmt.Errorf("workload %s: the checksum of the work is %#016x, want %#016x", s.Kind, got, want)
	}
	return want, nil
}

// run gives each thread an OS thread of its own, which ends with it. It also
// has a P of its own, since it never lets go of one, and no collector, which
// would have to wait for it.
func (l *load) run() error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(l.threads) + 8))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	errs := make([]error, len(l.threads))
	var all sync.WaitGroup
	for i, work := range l.threads {
		all.Go(func() {
			runtime.LockOSThread()
			errs[i] = work()
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func newRand(seed uint64, index int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(index)))
}

// between draws from low to high, high excluded, evenly.
func between(rng *rand.Rand, low, high uint64) uint64 { return low + rng.Uint64N(high-low) }

// Line is what a run of the load that came to sum prints.
func (s Spec) Line(sum uint64) string {
	return fmt.Sprintf("%s: %s, work %d, seed %d: sum %016x", s.Kind, number.Of(s.Threads, "thread"), s.Work, s.Seed, sum)
}
