// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// TestTicksByKind: each tick is of one kind, and the kinds add up.
func TestTicksByKind(t *testing.T) {
	var st stats
	full := sampleTick(t)
	tick := func(change func(*scheduler.Tick)) {
		one := *full
		change(&one)
		st.Tick(&one)
	}
	blind := errors.New("blind")
	tick(func(*scheduler.Tick) {})
	tick(func(one *scheduler.Tick) { one.Early = true })
	tick(func(one *scheduler.Tick) { one.Early, one.Standby = true, "other" })
	tick(func(one *scheduler.Tick) { one.Standby, one.Skipped, one.Snapshot, one.Plan = "other", true, nil, nil })
	tick(func(one *scheduler.Tick) { one.Throttled, one.LeftOut, one.Snapshot, one.Plan = true, 3, nil, nil })
	tick(func(one *scheduler.Tick) { one.Early, one.Err, one.Snapshot, one.Plan = true, blind, nil, nil })
	c, got, sum := st.read(), map[string]float64{}, 0.
	eachKind(&c, func(v float64, labels ...string) { got[labels[0]] = v; sum += v })
	want := map[string]float64{"full": 1, "early": 1, "standby": 1, "skipped": 1, "throttled": 4, "failed": 1}
	if diff := cmp.Diff(want, got); diff != "" || sum != float64(c.Ticks) {
		t.Errorf("%v of %d ticks (-want +got):\n%s", sum, c.Ticks, diff)
	}
}

// TestHeldByCPU: a CPU's held threads are those of before, with what the tick changed.
func TestHeldByCPU(t *testing.T) {
	topo, err := topology.Parse("1x4x1")
	if err != nil {
		t.Fatal(err)
	}
	topo.LeftOut = []topology.LeftOut{{CPUs: topology.NewCPUSet(3), Why: "isolated"}}
	thread := func(hold int32, managed bool) features.Thread { return features.Thread{Hold: hold, Managed: managed} }
	for _, tt := range []struct {
		name     string
		holds    []error
		releases []error
		standby  string
		want     []uint32
	}{
		{"nothing is done", nil, nil, "", []uint32{1, 1, 0}},
		{"all is done", []error{nil, nil}, []error{nil}, "", []uint32{0, 0, 2}},
		{"a hold fails", []error{unix.ESRCH, nil}, []error{nil}, "", []uint32{1, 0, 1}},
		{"a release fails", []error{nil, nil}, []error{unix.EPERM}, "", []uint32{0, 1, 2}},
		{"beside another scheduler", nil, nil, "other", []uint32{0, 0, 0}},
	} {
		tick := &scheduler.Tick{
			Topology: topo, Standby: tt.standby, Errors: tt.holds, ReleaseErrors: tt.releases,
			Snapshot: &features.Snapshot{
				Runqueues: []features.Runqueue{{Online: true}, {Online: true}, {Online: true}, {Online: true}},
				Threads:   []features.Thread{thread(0, true), thread(1, true), thread(-1, true), thread(2, false), thread(-1, false)},
			},
			Plan: &scheduler.Plan{Holds: []features.Hold{{Thread: 0, CPU: 2}, {Thread: 2, CPU: 2}}, Releases: []int32{1}},
		}
		var st stats
		st.Tick(tick)
		c := st.read()
		var got []uint32
		eachCPU(func(c *cpuStat) uint32 { return c.Held })(&c, func(v float64, _ ...string) { got = append(got, uint32(v)) })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if failed := len(tt.releases) > 0 && tt.releases[0] != nil; failed != (c.ReleaseFailed == 1) {
			t.Errorf("%s: %d releases failed", tt.name, c.ReleaseFailed)
		}
	}
}

// TestSnapshotAge goes on while nothing is read.
func TestSnapshotAge(t *testing.T) {
	age := func(st *stats) (age time.Duration) {
		c := st.read()
		eachAge(&c, func(v float64, _ ...string) { age = time.Duration(v * float64(time.Second)).Round(time.Minute) })
		return age
	}
	now := time.Now()
	st := &stats{start: now.Add(-time.Hour)}
	if got := age(st); got != time.Hour {
		t.Errorf("before the first it is %v", got)
	}
	tick := sampleTick(t)
	tick.Start = now.Add(-2 * time.Minute)
	st.Tick(tick)
	st.Tick(&scheduler.Tick{Start: now, Skipped: true})
	st.Tick(&scheduler.Tick{Start: now, Err: errors.New("blind")})
	if got := age(st); got != 2*time.Minute {
		t.Errorf("two minutes after a snapshot it is %v", got)
	}
}

// TestJournalLeft: a journal is left if nobody holds the lock.
func TestJournalLeft(t *testing.T) {
	dir := t.TempDir()
	if n := journalLeft(dir) + journalLeft(""); n != 0 {
		t.Errorf("%d where there is none", n)
	}
	for _, name := range []string{journalFile, lockFile} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := journalLeft(dir); n != 1 {
		t.Errorf("%d where there is one", n)
	}
	lock, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if n := journalLeft(dir); n != 0 {
		t.Errorf("%d while its mllbd lives", n)
	}
}
