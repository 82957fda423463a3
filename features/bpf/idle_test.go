// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"mllb/features"
	"mllb/features/internal/threads"
)

// TestIdle pins more threads to a CPU than it can run, as a hold does: the
// kernel cannot pull them. Each time that it is armed, and only then, the watch
// tells once of a CPU that goes idle.
func TestIdle(t *testing.T) {
	r := openReader(t, Options{})
	cpu := lastCPU(t)
	if cpu == 0 {
		t.Skip("a machine of one CPU")
	}
	if _, err := r.OpenIdle(); err == nil {
		t.Fatal("opened before it is known where the runqueues are")
	}
	var s features.Snapshot
	snapshot(t, r, &s)
	w, err := r.OpenIdle()
	skipUnless(t, err)
	told, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() {
		for {
			if err := w.Wait(); err != nil {
				ended <- err
				return
			}
			told <- struct{}{}
		}
	}()
	arm := func(yes bool) {
		t.Helper()
		if err := w.Arm(yes); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(wait time.Duration) bool {
		select {
		case <-told:
			return true
		case <-time.After(wait):
			return false
		}
	}
	threads.Spin(t, 3, cpu)
	eventually(t, r, &s, "three spinning threads on one queue", func(map[int]*features.Thread) bool {
		return s.Runqueues[cpu].NrRunning >= 3
	})
	if heard(50 * time.Millisecond) {
		t.Error("told of an idle CPU without being armed")
	}
	for range 3 {
		before := idleTicks(t)
		arm(true)
		if !heard(patience) { // this very test makes CPUs idle, each time that it sleeps
			if idleTicks(t) == before {
				t.Skip("others never let a CPU go idle")
			}
			t.Fatalf("not told of an idle CPU in %v", patience)
		}
		if heard(50 * time.Millisecond) {
			t.Error("told twice")
		}
	}
	arm(true)
	arm(false)
	for heard(0) { // one may have come between the two
	}
	if heard(50 * time.Millisecond) {
		t.Error("told after it was disarmed")
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait ended with %v, want os.ErrClosed", err)
	}
}

// idleTicks is how long all CPUs together had nothing to run, in clock ticks
// (proc_stat(5)).
func idleTicks(t *testing.T) (idle int) {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var user, nice, system int
	if _, err := fmt.Sscanf(string(b), "cpu %d %d %d %d", &user, &nice, &system, &idle); err != nil {
		t.Fatal(err)
	}
	return idle
}
