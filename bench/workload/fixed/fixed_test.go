// SPDX-License-Identifier: Apache-2.0

package fixed

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Kind: "spin", Threads: 1, Work: 1}, ""},
		{Spec{Kind: "spam", Threads: 1, Work: 1}, `workload "spam" is not one of spin, wakers, numa, pipeline, even, uneven`},
		{Spec{Kind: "spin", Work: 1}, "workload spin: --threads 0 is not in 1..10000"},
		{Spec{Kind: "wakers", Threads: 1, Work: 1}, "--threads 1 is not in 2..10000"},
		{Spec{Kind: "pipeline", Threads: 4, Work: 1}, "--threads 4 is not in 5..10000"},
		{Spec{Kind: "numa", Threads: 10_001, Work: 1}, "--threads 10001 is not in"},
		{Spec{Kind: "numa", Threads: 1}, "work 0 is not in 1..3600000"},
		{Spec{Kind: "numa", Threads: 1, Work: 3_600_001}, "work 3600001"},
	} {
		err := tt.spec.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.spec, err, tt.want)
		}
	}
}

// TestRun does the work of each kind. Run itself refuses a wrong sum; here it
// must also be another for any other spec.
func TestRun(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			seen := map[uint64]Spec{}
			for _, s := range []Spec{
				{k.Name, k.Threads, 5, 1}, {k.Name, k.Threads, 5, 2}, {k.Name, k.Threads, 6, 1},
				{k.Name, k.Threads + 2, 5, 1}, {k.Name, 9, 5, 1}, {k.Name, 12, 5, 1},
			} {
				sum, err := Run(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				if other, ok := seen[sum]; ok && other != s {
					t.Errorf("%+v and %+v come to the same", s, other)
				}
				seen[sum] = s
			}
		})
	}
}

// TestTampered has work left out or done twice, which must change the sum.
func TestTampered(t *testing.T) {
	for _, k := range Kinds() {
		s := Spec{k.Name, max(4, k.Threads), 5, 3}
		l, err := k.start(s)
		if err != nil {
			t.Fatal(err)
		}
		if l.sum() == k.want(s) {
			t.Errorf("%s: the sum is right with no work done", k.Name)
		}
		if err := l.run(); err != nil {
			t.Fatal(err)
		}
		if l.sum() != k.want(s) {
			t.Errorf("%s: the sum is wrong", k.Name)
		}
		if k.Name != "wakers" && k.Name != "pipeline" { // whose threads depend on no other
			fewer, err := k.start(s)
			if err != nil {
				t.Fatal(err)
			}
			fewer.threads = fewer.threads[1:]
			if err := fewer.run(); err != nil || fewer.sum() == k.want(s) {
				t.Errorf("%s: the sum is right without one thread (%v)", k.Name, err)
			}
		}
		l.close()
	}
}

// TestPipelineLoses checks that an item that did not arrive, or twice, shows.
func TestPipelineLoses(t *testing.T) {
	s := Spec{"pipeline", 5, 4, 1}
	items := pipelinePlan(s)
	var arrived []*item
	for i := range items {
		it := &items[i]
		it.state = jump(it.state, it.steps[0]+it.steps[1])
		if !it.duplicate {
			it.state = jump(it.state, it.steps[2])
		}
		arrived = append(arrived, it)
	}
	if pipelineSum(items, arrived) != pipelineWant(s) {
		t.Fatal("the sum is wrong")
	}
	if arrived[3] = arrived[4]; pipelineSum(items, arrived) == pipelineWant(s) {
		t.Error("the sum is right without an item")
	}
}

// TestSteady checks which threads have the same work.
func TestSteady(t *testing.T) {
	for kind, want := range map[string]int{"even": 1, "uneven": 8} {
		seen := map[uint64]bool{}
		for i := range 8 {
			steps := steadySteps(Spec{kind, 8, 100, 1}, i)
			if steps < 50*stepsPerMs || steps >= 150*stepsPerMs {
				t.Errorf("%s: thread %d makes %d steps", kind, i, steps)
			}
			seen[steps] = true
		}
		if len(seen) != want {
			t.Errorf("%s: %d different amounts of work, want %d", kind, len(seen), want)
		}
	}
}

func TestJump(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 3, 63, 64, 1000, 12345} {
		if got, want := jump(42, n), burn(42, n); got != want {
			t.Errorf("%d steps: %#x, want %#x", n, got, want)
		}
	}
}

// TestCycle checks that a walk visits every line before it comes back.
func TestCycle(t *testing.T) {
	at, n := uint32(7), 0
	for {
		at = (at*lineMul + lineAdd) % lines
		if n++; at == 7 {
			break
		}
	}
	if n != lines {
		t.Errorf("the cycle has %d lines, want %d", n, lines)
	}
}

// TestCancel checks that a load ends with its context, long before its work.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	cancel(stop)
	if _, err := Run(ctx, Spec{"spin", 1, 500, 1}); !errors.Is(err, stop) {
		t.Error(err)
	}
}
