// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"mllb/features"
	"mllb/features/internal/threads"
)

func openRecount(t *testing.T) *Reader {
	t.Helper()
	r := openReader(t, Options{})
	skipUnless(t, r.UnchangedError())
	return r
}

func TestUnchangedCounts(t *testing.T) {
	// The reader was on CPU 0 and is on CPU 1; CPU 1 has a real-time thread; CPU 2 is offline, 3 was never met.
	base := [4]threadsMllbRq{
		{Pass: 9, NrRunning: 3, NrQueued: 3, Online: 1, Self: 1, NowRunning: 2, NowQueued: 2, NowOnline: 1},
		{Pass: 9, NrRunning: 1, NrQueued: 0, Online: 1, NowRunning: 2, NowQueued: 1, NowOnline: 1, NowSelf: 1},
		{Pass: 8, NrRunning: 7, Online: 1},
	}
	for _, tt := range []struct {
		name   string
		change func(s *[4]threadsMllbRq)
		want   bool
	}{
		{"only the reader moved", func(*[4]threadsMllbRq) {}, true},
		{"one more", func(s *[4]threadsMllbRq) { s[0].NowRunning++; s[0].NowQueued++ }, false},
		{"one less", func(s *[4]threadsMllbRq) { s[1].NowRunning--; s[1].NowQueued-- }, false},
		{"one asleep, not dequeued yet", func(s *[4]threadsMllbRq) { s[0].NowRunning++; s[0].NowQueued++; s[0].NowDelayed++ }, true},
		{"one dequeued at last", func(s *[4]threadsMllbRq) { s[0].NrRunning++; s[0].NrQueued++; s[0].Delayed++ }, true},
		{"one in place of the reader", func(s *[4]threadsMllbRq) { s[0].NowRunning++; s[0].NowQueued++; s[1].NowSelf = 0 }, false},
		{"real-time in place of fair", func(s *[4]threadsMllbRq) { s[0].NowQueued-- }, false},
		{"a CPU went", func(s *[4]threadsMllbRq) { s[1].NowOnline = 0 }, false},
		{"a CPU came back", func(s *[4]threadsMllbRq) { s[2].NowOnline = 1 }, false},
		{"no pass yet", func(s *[4]threadsMllbRq) { *s = [4]threadsMllbRq{} }, false},
	} {
		slots := base
		tt.change(&slots)
		b, err := binary.Append(nil, binary.LittleEndian, slots)
		if err != nil {
			t.Fatal(err)
		}
		if got := unchanged(b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestUnchanged asks a host at rest until it says so, which on a busy one may take
// many tries, then starts threads that it must not miss.
func TestUnchanged(t *testing.T) {
	r := openRecount(t)
	cpu := lastCPU(t)
	var s features.Snapshot
	ask := func() bool {
		t.Helper()
		ok, err := r.Unchanged(&s)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if ask() {
		t.Error("unchanged before the first snapshot")
	}
	rested := 0
	for end := time.Now().Add(patience); rested < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		snapshot(t, r, &s)
		if ask() {
			rested++
		}
	}
	if rested == 0 {
		t.Errorf("never unchanged, in %v of tries", patience)
	}
	other := openRecount(t) // it sees what is there later, and leaves r's slots alone
	// What was there by chance may go while the threads come, and leave as many
	// as there were. So begin with a calm queue, and let more come.
	eventually(t, r, &s, "a calm queue", func(map[int]*features.Thread) bool { return s.Runqueues[cpu].NrRunning <= 1 })
	had := s.Runqueues[cpu].NrRunning
	threads.Spin(t, 4, cpu)
	var now features.Snapshot
	eventually(t, other, &now, "the spinning threads on one queue", func(map[int]*features.Thread) bool {
		return now.Runqueues[cpu].NrRunning >= 4
	})
	if ask() {
		t.Errorf("unchanged, with %d threads on cpu %d instead of %d", now.Runqueues[cpu].NrRunning, cpu, had)
	}
	if ok, err := r.Unchanged(&now); ok || err != nil {
		t.Errorf("of another snapshot: %v, %v", ok, err)
	}
}

func TestUnchangedAllocatesNothing(t *testing.T) {
	r := openRecount(t)
	var s features.Snapshot
	snapshot(t, r, &s)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Unchanged(&s); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUnchangedFailsSafe(t *testing.T) {
	r := openRecount(t)
	var s features.Snapshot
	snapshot(t, r, &s)
	program := r.recount
	r.recount = nil // as on a kernel that refused it
	if ok, err := r.Unchanged(&s); ok || err != nil {
		t.Errorf("without its program: %v, %v", ok, err)
	}
	r.recount = program
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := r.Unchanged(&s); ok || !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v, %v", ok, err)
	}
}

func BenchmarkUnchanged(b *testing.B) {
	r := openReader(b, Options{})
	skipUnless(b, r.UnchangedError())
	var s features.Snapshot
	snapshot(b, r, &s)
	for b.Loop() {
		if _, err := r.Unchanged(&s); err != nil {
			b.Fatal(err)
		}
	}
}
