// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// TestLive probes this host. What it finds depends on who else is here; that it
// ends, fits together and leaves no thread pinned does not.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while on a busy host")
	}
	told, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenLive()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if cpus, err := l.CPUs(); err != nil || cpus.Count() < 2 {
		t.Skip("one CPU: ", err)
	}
	share := 0.0
	p, err := Run(context.Background(), l, Options{Told: told, Progress: func(s float64) {
		if s < share {
			t.Errorf("progress went from %v to %v", share, s)
		}
		share = s
	}})
	if err != nil {
		t.Fatal(err)
	}
	if share != 1 {
		t.Errorf("progress ended at %v", share)
	}
	top := p.Over(told)
	if !top.Online.Equal(told.Online) {
		t.Errorf("online: %v, want %v", top.Online, told.Online)
	}
	for _, s := range p.Speeds {
		if !(s.Speed.Low > 0 && s.Speed.Low <= s.Speed.Median && s.Speed.Median <= s.Speed.High && s.Speed.Median <= 1024) {
			t.Errorf("speed: %+v", s)
		}
	}
	t.Logf("cores %v, doubts %v", p.Cores, p.Doubts)
	for _, pair := range p.Pairs {
		t.Logf("%+v", pair)
	}
	for _, s := range p.Speeds {
		t.Logf("%+v", s)
	}
}

// TestLiveEnds: a probe whose context ends does so at once.
func TestLiveEnds(t *testing.T) {
	l, err := OpenLive()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cpus, err := l.CPUs()
	if err != nil || cpus.Count() < 2 {
		t.Skip("one CPU: ", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var all []int
	for cpu := range cpus.All() {
		all = append(all, cpu)
	}
	if _, err := l.Work(ctx, all, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("work ended with %v", err)
	}
	if _, err := l.Handoff(ctx, all[0], all[1], time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hand-off ended with %v", err)
	}
}

// TestLiveGone: a CPU that does not exist, and one that is not allowed any more.
func TestLiveGone(t *testing.T) {
	l, err := OpenLive()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var gone *GoneError
	if _, err := l.Work(context.Background(), []int{topology.MaxCPUs - 1}, time.Millisecond); !errors.As(err, &gone) || gone.CPU != topology.MaxCPUs-1 {
		t.Errorf("a CPU that does not exist: %v", err)
	}
	cpus, err := l.CPUs()
	if err != nil || cpus.Count() < 2 {
		t.Skip("one CPU: ", err)
	}
	w, err := l.worker(cpus.First())
	if err != nil {
		t.Fatal(err)
	}
	w.jobs <- func() error { // as the kernel does when the CPU goes off line
		mask := unix.NewCPUSet(topology.MaxCPUs)
		for cpu := range cpus.All() {
			mask.Set(cpu)
		}
		return unix.SchedSetaffinityDynamic(0, mask)
	}
	if err := <-w.done; !errors.As(err, &gone) || gone.CPU != cpus.First() {
		t.Errorf("a CPU that went away: %v", err)
	}
}
