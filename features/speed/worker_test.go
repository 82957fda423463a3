// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// allowed returns the CPUs that this process may use.
func allowed(t testing.TB) (cpus []int) {
	t.Helper()
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(mask) * 64 {
		if mask.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// masks returns how many threads of this process have each mask.
func masks(t testing.TB) map[string]int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	of := make(map[string]int)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		for line := range strings.Lines(string(text)) {
			if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:\t"); ok {
				of[strings.TrimSpace(list)]++
			}
		}
	}
	return of
}

// TestThisHost looks at each CPU that there is, and leaves no thread behind that may use
// fewer.
func TestThisHost(t *testing.T) {
	topo, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	before := masks(t)
	c, err := Open(Options{Topology: topo})
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot(make([]uint32, len(topo.CPUs))...)
	deadline := time.Now().Add(time.Minute)
	for _, cpu := range allowed(t) {
		for c.Speeds(s); s.Runqueues[cpu].Speed == 0 && topo.Online.Has(cpu) && time.Now().Before(deadline); c.Speeds(s) {
			time.Sleep(10 * time.Millisecond)
		}
		if topo.Online.Has(cpu) && s.Runqueues[cpu].Speed == 0 {
			t.Errorf("nothing is known of CPU %d: %+v", cpu, c.Counts())
		}
	}
	c.Close()
	c.Close() // again is no error
	if len(before) != 1 {
		t.Skipf("threads had different masks before: %v", before)
	}
	for after := masks(t); len(after) != 1; after = masks(t) {
		if time.Now().After(deadline) {
			t.Fatalf("masks of threads: %v, before: %v", after, before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// worked calls f with a worker on a thread of its own, and returns when that has ended.
func worked(t *testing.T, f func(w *worker)) {
	t.Helper()
	done := make(chan error)
	go onOwnThread(func() {
		w, err := newWorker(1000, runtime.NumCPU())
		if err == nil {
			f(w)
			err = w.Close()
		}
		done <- err
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSample(t *testing.T) {
	cpu := allowed(t)[0]
	worked(t, func(w *worker) {
		s, err := w.Sample(Look{CPU: cpu, After: time.Millisecond, Work: true})
		if err != nil || s.Rate <= 0 || s.Cost <= 0 || s.Late < -1 {
			t.Errorf("%+v, %v", s, err)
		}
		s, err = w.Sample(Look{CPU: cpu})
		if err != nil || s.Rate != 0 {
			t.Errorf("without work: %+v, %v", s, err)
		}
		if _, err = w.Sample(Look{CPU: 1000}); !errors.Is(err, ErrNoCPU) {
			t.Errorf("of no CPU: %v", err)
		}
	})
}

func TestProbe(t *testing.T) {
	if s, err := Probe(); err != nil || s.Rate <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSampleNarrow: whoever narrowed the mask of mllb wants it nowhere else.
func TestSampleNarrow(t *testing.T) {
	cpus := allowed(t)
	if len(cpus) < 2 {
		t.Skip("one CPU")
	}
	worked(t, func(w *worker) {
		var one unix.CPUSet
		one.Set(cpus[0])
		w.narrow, w.mask = true, one
		if _, err := w.Sample(Look{CPU: cpus[1]}); !errors.Is(err, ErrNoCPU) {
			t.Errorf("elsewhere: %v", err)
		}
		if _, err := w.Sample(Look{CPU: cpus[0]}); err != nil {
			t.Error(err)
		}
	})
}

// TestStop: what sleeps is woken up, and has its mask back.
func TestStop(t *testing.T) {
	cpu := allowed(t)[0]
	worked(t, func(w *worker) {
		var before, after unix.CPUSet
		_ = unix.SchedGetaffinity(0, &before)
		go func() {
			time.Sleep(10 * time.Millisecond)
			w.Stop()
		}()
		if _, err := w.Sample(Look{CPU: cpu, After: time.Hour}); !errors.Is(err, ErrStopped) {
			t.Errorf("err %v", err)
		}
		if _, err := w.Sample(Look{CPU: cpu, After: time.Hour}); !errors.Is(err, ErrStopped) {
			t.Errorf("again: %v", err)
		}
		for deadline := time.Now().Add(10 * time.Second); after != before && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			_ = unix.SchedGetaffinity(0, &after)
		}
		if after != before {
			t.Errorf("mask %v, before %v", after, before)
		}
	})
}

// TestFree: a look whose thread was taken off its CPU says nothing of it.
func TestFree(t *testing.T) {
	cpu := allowed(t)[0]
	worked(t, func(w *worker) {
		go func() {
			time.Sleep(10 * time.Millisecond)
			w.Free()
		}()
		if _, err := w.Sample(Look{CPU: cpu, After: 100 * time.Millisecond, Work: true}); !errors.Is(err, errMoved) {
			t.Errorf("err %v", err)
		}
	})
}

func TestOnOwnThread(t *testing.T) {
	// Of many goroutines some begin on the main thread.
	for range 100 {
		done := make(chan bool)
		go onOwnThread(func() { done <- unix.Gettid() == unix.Getpid() })
		if <-done {
			t.Fatal("it is the main thread, which never ends")
		}
	}
}

func BenchmarkSample(b *testing.B) {
	cpu := allowed(b)[0]
	for _, bb := range []struct {
		name string
		work bool
	}{{"work", true}, {"sleep", false}} {
		b.Run(bb.name, func(b *testing.B) {
			done := make(chan error)
			go onOwnThread(func() {
				w, err := newWorker(calibrate(), runtime.NumCPU())
				if err != nil {
					done <- err
					return
				}
				defer w.Close()
				cost := time.Duration(0)
				for range b.N {
					s, err := w.Sample(Look{CPU: cpu, After: time.Millisecond, Work: bb.work})
					if err != nil {
						done <- err
						return
					}
					cost += s.Cost
				}
				b.ReportMetric(float64(cost.Microseconds())/float64(b.N), "cpu-us/op")
				done <- nil
			})
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkSpeeds(b *testing.B) {
	topo, err := topology.Parse("2x256x2")
	if err != nil {
		b.Fatal(err)
	}
	c := &Canary{size: 64, groups: make(map[int]*group)}
	c.follow(topo)
	now := time.Now()
	for _, t := range c.tracks {
		for range window {
			t.add(Sample{Rate: 1e9, Late: 0}, now, true)
		}
	}
	s := snapshot(make([]uint32, len(topo.CPUs))...)
	b.ReportAllocs()
	for b.Loop() {
		c.Speeds(s)
	}
}
