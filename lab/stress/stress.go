// SPDX-License-Identifier: Apache-2.0

// Package stress makes load for a scheduler to balance: threads that burn,
// sleep, touch memory, pin themselves and end, by a seed. What a thread does
// follows from the seed; when it does it follows from the scheduler.
package stress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Spec is one load.
type Spec struct {
	Kind    string // a name of Kinds
	Threads int    // in all
	Procs   int    // processes that they are spread over; 0: 1
	Seed    uint64
}

// Kind is one way to keep CPUs busy.
type Kind struct {
	Name, Help string
	Duty       float64 // share of the time that a thread wants a CPU, nearly
	former     string  // its name in data recorded before it had this one; "": the same
	memory     int     // bytes that each thread walks over while it burns
	start      func(*thread)
	step       func(*thread)
	short      bool // a thread ends after one step, and another takes its place
}

// Kinds returns all kinds, by name.
func Kinds() []Kind {
	return slices.SortedFunc(slices.Values(kinds), func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
}

// Find returns the kind of that name.
func Find(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("load %q is not one of %s", name, strings.Join(names, ", "))
}

// Renamed returns the name of a kind that recorded data and their command lines
// know by a former one.
func Renamed(former string) (name string, ok bool) {
	for _, k := range kinds {
		if k.former == former && former != "" {
			return k.Name, true
		}
	}
	return former, false
}

// Former returns the name by which data recorded before may know a kind.
func Former(name string) string {
	for _, k := range kinds {
		if k.Name == name && k.former != "" {
			return k.former
		}
	}
	return name
}

// Validate says what is wrong with a spec.
func (s Spec) Validate() error {
	_, err := Find(s.Kind)
	switch {
	case err != nil:
		return err
	case s.Threads < 1 || s.Threads > 10_000:
		return fmt.Errorf("stress %s: --threads %d is not in 1..10000", s.Kind, s.Threads)
	case s.Procs < 0 || s.Procs > s.Threads:
		return fmt.Errorf("stress %s: --procs %d is not in 1..%d, the number of threads", s.Kind, s.Procs, s.Threads)
	}
	return nil
}

// Run keeps the load up until ctx ends, which is no error: this program, as
// `mllb stress`, once for each process with its share of the threads.
func Run(ctx context.Context, s Spec) error {
	if err := s.Validate(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("stress %s: %w", s.Kind, err)
	}
	procs := max(1, s.Procs)
	errs := make([]error, procs)
	var all sync.WaitGroup
	for i := range procs {
		share := Spec{Kind: s.Kind, Threads: s.Threads / procs, Procs: 1, Seed: s.Seed + uint64(i)<<32}
		if i < s.Threads%procs {
			share.Threads++
		}
		cmd := exec.CommandContext(ctx, self, append(share.Args(), "--worker")...)
		// Go's runtime must not signal a burning thread every 10 ms.
		cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		all.Go(func() { errs[i] = process(ctx, cmd) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// process starts one from a thread that lives as long as it does: the kernel
// takes the death of the parent's thread for the parent's.
func process(ctx context.Context, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// Args are those of the mllb command that runs this load.
func (s Spec) Args() []string {
	return []string{"stress", s.Kind, "--threads", strconv.Itoa(s.Threads), "--procs", strconv.Itoa(max(1, s.Procs)),
		"--seed", strconv.FormatUint(s.Seed, 10)}
}

// Work keeps all threads of the load up in this process until ctx ends, which
// is no error.
func Work(ctx context.Context, s Spec) error {
	if err := s.Validate(); err != nil {
		return err
	}
	k, err := Find(s.Kind)
	if err != nil {
		return err
	}
	// The scheduler under test is the kernel's: Go's own must not take part. A
	// thread has a P whenever it wants one, and no collector wakes helpers.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(s.Threads + 8))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	errs := make([]error, s.Threads)
	var all sync.WaitGroup
	for i := range s.Threads {
		all.Go(func() { errs[i] = keep(k, s, i, &stop) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// keep has one thread at work at any time: the same one, or, where they are
// short-lived, one after the other.
func keep(k Kind, s Spec, index int, stop *atomic.Bool) error {
	for life := uint64(0); !stop.Load(); life++ {
		t := &thread{index: index, stop: stop, rng: newRand(s.Seed, index, life)}
		err := make(chan error)
		go func() { err <- t.live(k) }()
		if err := <-err; err != nil {
			return fmt.Errorf("stress %s: thread %d: %w", s.Kind, index, err)
		}
	}
	return nil
}

func newRand(seed uint64, index int, life uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(index)<<32|life))
}
