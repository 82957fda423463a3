// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// points are where the sampler's programs run.
var points = []string{"sched_process_fork", "sched_process_exit", "sched_process_free", "sched_migrate_task"}

// TestCost counts the instructions that the sampler's programs take:
//
//	mllb lab test --icount --verbose --kernel 6.12 --topology 2x2x2 --match TestCost measure
//
// In a guest of --icount the clock counts instructions, one is a nanosecond.
// Programs on both sides of what is measured read it, and the median is not
// touched by what else happens now and then.
func TestCost(t *testing.T) {
	if os.Getenv("MLLB_LAB") != "1" || testing.Short() {
		t.Skip("needs a guest of the lab with --icount, and some minutes of it")
	}
	s := open(t)
	stamp := stamps(t, "", func() func() { return func() {} })
	empty := stamps(t, "empty", func() func() { return func() {} })
	thousand := stamps(t, "thousand", func() func() { return func() {} })
	if n := thousand[0] - empty[0]; n < 990 || n > 1010 {
		t.Skipf("1,000 instructions take %d ns: no guest of --icount, so the clock does not count instructions", n)
	}
	t.Logf("an empty program: %d instructions", empty[0]-stamp[0])
	root := 0
	sampler := func() func() {
		start(t, s, Options{Root: root, Interval: time.Hour})
		return func() { stop(t, s) }
	}
	for _, group := range []struct {
		name string
		root func(workload int) int
	}{
		{"of the tree", func(workload int) int { return workload }},
		{"of others", func(int) int { return newWorkload(t, "burn 1 1").pid() }},
	} {
		costs := stampsOf(t, "", sampler, func(workload int) { root = group.root(workload) })
		for i, point := range points {
			t.Logf("%s, %s: %d instructions", point, group.name, costs[i]-stamp[i])
		}
	}
	sampling(t, s)
}

func stamps(t *testing.T, inner string, put func() func()) []int64 {
	t.Helper()
	return stampsOf(t, inner, put, func(int) {})
}

// stampsOf runs a workload with the clock programs around what put attaches,
// and returns the median for each of points.
func stampsOf(t *testing.T, inner string, put func() func(), begin func(pid int)) []int64 {
	t.Helper()
	var colls []*ebpf.Collection
	var links []link.Link
	attach := func(name string) {
		for i, coll := range colls {
			if name == "" {
				continue
			}
			l, err := link.AttachTracing(link.TracingOptions{Program: coll.Programs[name]})
			if err != nil {
				t.Fatal(points[i], err)
			}
			links = append(links, l)
		}
	}
	for i, point := range points {
		colls = append(colls, loadStamps(t, i, point))
	}
	w := newWorkload(t, "cost 0 1")
	begin(w.pid())
	attach("before")
	attach(inner)
	off := put()
	attach("after")
	w.begin()
	w.wait()
	time.Sleep(time.Second) // RCU frees what it used
	off()
	for _, l := range links {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	var medians []int64
	for i, coll := range colls {
		var cpus []costMllbCosts
		if err := coll.Maps["costs"].Lookup(uint32(i), &cpus); err != nil {
			t.Fatal(err)
		}
		var all []int64
		for _, c := range cpus {
			for _, ns := range c.Ns[:c.Nr] {
				all = append(all, int64(ns))
			}
		}
		if len(all) < 10 {
			t.Fatalf("%s: seen %d times", points[i], len(all))
		}
		slices.Sort(all)
		medians = append(medians, all[len(all)/2])
		coll.Close()
	}
	return medians
}

func loadStamps(t *testing.T, which int, point string) *ebpf.Collection {
	t.Helper()
	spec, err := loadCost()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Variables["which"].Set(uint32(which)); err != nil {
		t.Fatal(err)
	}
	for name, p := range spec.Programs {
		if !slices.Contains([]string{"before", "after", "empty", "thousand"}, name) {
			delete(spec.Programs, name)
		}
		p.AttachTo = point
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

// sampling counts what one sample of all queues takes.
func sampling(t *testing.T, s *Sampler) {
	t.Helper()
	w := newWorkload(t, "burn 1 1")
	start(t, s, Options{Root: w.pid(), Interval: time.Hour}) // which finds the runqueues
	defer stop(t, s)
	spec, err := loadCost()
	if err != nil {
		t.Fatal(err)
	}
	places := s.follow.(*tree).objs.Places
	spec.Maps["places"].MaxEntries = places.MaxEntries()
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"places": places}})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	nothing, sample := medianRun(t, coll.Programs["nothing"]), medianRun(t, coll.Programs["sample_once"])
	t.Logf("one sample of %d CPUs: %d instructions", host(t).Online.Count(), sample-nothing)
}

func medianRun(t *testing.T, p *ebpf.Program) int64 {
	t.Helper()
	times := make([]int64, 301)
	for i := range times {
		var a, b unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &a)
		err := run(p)
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &b)
		if err != nil {
			t.Fatal(err)
		}
		times[i] = b.Nano() - a.Nano()
	}
	slices.Sort(times)
	return times[len(times)/2]
}
