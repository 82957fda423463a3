// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/internal/threads"
)

// An audit comes to each thread that has a mask of one CPU and sleeps.
func TestAudit(t *testing.T) {
	r := openAwake(t, Options{})
	g := threads.Sleep(t, 2*stepSize)
	one := fromCPU(lastCPU(t))
	pinned := g.TIDs[:3]
	for _, tid := range pinned {
		if err := unix.SchedSetaffinity(tid, &one); err != nil {
			t.Fatal(err)
		}
	}
	var s features.Snapshot
	snapshot(t, r, &s)
	found := make(map[int]int)
	free, ticks := 0, 0
	for began := false; !began || r.awake.audit.open; ticks++ {
		if ticks > 1000 {
			t.Fatal("it does not end")
		}
		for tid, th := range awakeNow(t, r, &s) {
			if slices.Contains(pinned, tid) {
				found[tid]++
			} else if slices.Contains(g.TIDs, tid) && th.State == 'S' {
				free++
			}
		}
		began = began || r.awake.audit.open
		r.awake.audit.began -= int64(auditEvery) / 10 // a second passes at once
	}
	if len(found) != len(pinned) || free > 0 {
		t.Errorf("of the threads with a mask of one CPU %v were read, want %v once each; and %d others", found, pinned, free)
	}
	if ticks < 3 || r.awake.audit.total < 2 {
		t.Errorf("it took %d snapshots and %d steps: want it spread", ticks, r.awake.audit.total)
	}
}

// TestAuditGrown: an audit ends although there are many more threads than in the last.
func TestAuditGrown(t *testing.T) {
	r := openAwake(t, Options{})
	threads.Sleep(t, 4*stepSize)
	var s features.Snapshot
	snapshot(t, r, &s)
	r.awake.audit.total = 0
	for ticks := 0; ; ticks++ {
		awakeNow(t, r, &s)
		if a := &r.awake.audit; !a.open && a.total >= 4 {
			return
		}
		if ticks > 100 {
			t.Fatalf("it does not end: %+v", r.awake.audit)
		}
		r.awake.audit.began -= int64(auditEvery) // ten seconds pass at once
	}
}

// TestAuditLasts: it is spread over more time where there is more to look at.
func TestAuditLasts(t *testing.T) {
	for threads, want := range map[int]time.Duration{0: 10 * time.Second, 5_000: 10 * time.Second, 100_000: 200 * time.Second} {
		if got := lasts(threads / stepSize).Round(time.Second); got != want {
			t.Errorf("%d threads: %v, want %v", threads, got, want)
		}
	}
}
