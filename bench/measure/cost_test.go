// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
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
var points = []string{"sched_process_fork", "sched_process_exit", "sched_process_free", "sched_migrate_task", "sched_switch", "sched_wakeup"}

// BenchmarkCost counts the instructions that the sampler's programs take:
//
//	CGO_ENABLED=0 go test -c ./bench/measure
//	mllb lab run --icount --kernel 6.12 --topology 2x2x2 --timeout 1h --copy measure.test -- measure.test -test.run - -test.bench Cost
//
// In a guest of --icount the clock counts instructions, one is a nanosecond.
// Programs on both sides of what is measured read it, and the median is not
// touched by what else happens now and then.
func BenchmarkCost(b *testing.B) {
	if os.Getenv("MLLB_LAB") != "1" {
		b.Skip("needs a guest of the lab with --icount, and some minutes of it")
	}
	s := open(b)
	for b.Loop() {
		costOfEvents(b, s)
		costOfSample(b, s)
	}
	b.ReportMetric(0, "ns/op") // of no use: that of loads, and of waiting for them
}

// costOfEvents counts what the programs of each of points take.
func costOfEvents(b *testing.B, s *Sampler) {
	b.Helper()
	nothing := func() func() { return func() {} }
	stamp, empty, thousand := stamps(b, "", nothing), stamps(b, "empty", nothing), stamps(b, "thousand", nothing)
	if n := thousand[0] - empty[0]; n < 990 || n > 1010 {
		b.Fatalf("1,000 instructions take %d ns: no guest of --icount, so the clock does not count instructions", n)
	}
	b.ReportMetric(float64(empty[0]-stamp[0]), "instr/empty_program")
	root := 0
	sampler := func() func() {
		start(b, s, Options{Root: root, Interval: time.Hour})
		return func() { stop(b, s) }
	}
	for _, group := range []struct {
		name string
		root func(workload int) int
	}{
		{"of_the_tree", func(workload int) int { return workload }},
		{"of_others", func(int) int { return newWorkload(b, "burn 1 1").pid() }},
	} {
		costs := stampsOf(b, "", sampler, func(workload int) { root = group.root(workload) })
		for i, point := range points {
			if costs[i] <= stamp[i] {
				b.Errorf("%s, %s: the programs are not between the clocks: %d, %d without them", point, group.name, costs[i], stamp[i])
			}
			b.ReportMetric(float64(costs[i]-stamp[i]), "instr/"+point+"_"+group.name)
		}
	}
}

func stamps(t testing.TB, inner string, put func() func()) []int64 {
	t.Helper()
	return stampsOf(t, inner, put, func(int) {})
}

// stampsOf runs a workload with the clock programs around what put attaches,
// and returns the median for each of points.
func stampsOf(t testing.TB, inner string, put func() func(), begin func(pid int)) []int64 {
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

func loadStamps(t testing.TB, which int, point string) *ebpf.Collection {
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

// costOfSample counts what one sample of all queues takes.
func costOfSample(b *testing.B, s *Sampler) {
	b.Helper()
	w := newWorkload(b, "burn 1 1")
	start(b, s, Options{Root: w.pid(), Interval: time.Hour}) // which finds the runqueues
	defer stop(b, s)
	spec, err := loadCost()
	if err != nil {
		b.Fatal(err)
	}
	places := s.follow.(*tree).objs.Places
	spec.Maps["places"].MaxEntries = places.MaxEntries()
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"places": places}})
	if err != nil {
		b.Fatal(err)
	}
	defer coll.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	nothing, sample := medianRun(b, coll.Programs["nothing"]), medianRun(b, coll.Programs["sample_once"])
	b.ReportMetric(float64(sample-nothing), fmt.Sprintf("instr/sample_of_%d_CPUs", host(b).Online.Count()))
}

func medianRun(t testing.TB, p *ebpf.Program) int64 {
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
