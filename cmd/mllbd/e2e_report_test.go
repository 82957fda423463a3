// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
	"time"

	"mllb/internal/runreport"
)

// ending is what the tests take from what mllbd says of itself in the end.
type ending struct {
	due, early              uint64 // ticks
	full, throttled, failed uint64 // of them
	moved, inPlace          uint64 // holds
	restored, left          int
	used, up                time.Duration // CPU time, and since the first tick
	err                     string
}

// readReport reads the file that --report named.
func readReport(t *testing.T, path string) ending {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runreport.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	count := func(name string) uint64 {
		n, ok := r.Counters[name]
		if !ok {
			t.Fatalf("the report has no counter %q: %s", name, b)
		}
		return uint64(n)
	}
	ticks, early := count("ticks"), count("early")
	throttled, failed := count("throttled"), count("failed")
	return ending{
		due: ticks - early, early: early, full: ticks - count("skipped") - throttled - failed, throttled: throttled, failed: failed,
		moved: runreport.Total(r.Moved), inPlace: r.HeldInPlace, restored: r.Restored, left: r.Left,
		used: seconds(r.CPUSeconds), up: seconds(r.Seconds), err: r.Error,
	}
}
