// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/topology"
)

// host is a made-up machine: what each CPU finds, and errors instead.
type host struct {
	mu    sync.Mutex
	rate  []float64
	late  []time.Duration
	fails []error
	stuck []bool // gives no turn
	freed int
	looks []int
	cost  time.Duration // of all looks
	ended int           // sources closed
}

func newHost(cpus int) *host {
	h := &host{rate: make([]float64, cpus), late: make([]time.Duration, cpus), fails: make([]error, cpus), stuck: make([]bool, cpus), looks: make([]int, cpus)}
	for i := range h.rate {
		h.rate[i] = 1e9
	}
	return h
}

// looked is how often a CPU was looked at.
func (h *host) looked(cpu int) (n int) {
	h.with(func() { n = h.looks[cpu] })
	return n
}

// with reads or changes it.
func (h *host) with(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *host) open() (Source, error) {
	return &fake{host: h, free: make(chan struct{}, 1), stop: make(chan struct{})}, nil
}

// fake is a source of it.
type fake struct {
	host *host
	free chan struct{}
	stop chan struct{}
	once sync.Once
}

func (f *fake) Sample(l Look) (Sample, error) {
	select {
	case <-f.stop:
		return Sample{}, ErrStopped
	case <-time.After(l.After):
	}
	h := f.host
	h.mu.Lock()
	stuck, err := h.stuck[l.CPU], h.fails[l.CPU]
	s := Sample{Rate: h.rate[l.CPU], Late: h.late[l.CPU], Cost: workCost}
	h.looks[l.CPU]++
	h.mu.Unlock()
	if stuck {
		select {
		case <-f.free:
			return Sample{}, errMoved
		case <-f.stop:
			return Sample{}, ErrStopped
		}
	}
	if !l.Work {
		s.Rate, s.Cost = 0, lookCost
	}
	h.with(func() { h.cost += s.Cost + runtimeCost })
	return s, err
}

func (f *fake) Free() {
	f.host.with(func() { f.host.freed++ })
	select {
	case f.free <- struct{}{}:
	default:
	}
}

func (f *fake) Stop() { f.once.Do(func() { close(f.stop) }) }

func (f *fake) Close() error {
	f.host.with(func() { f.host.ended++ })
	return nil
}

func shape(t testing.TB, of string) *topology.Topology {
	t.Helper()
	topo, err := topology.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// snapshot is one in which so many threads run or wait on each CPU.
func snapshot(running ...uint32) *features.Snapshot {
	s := &features.Snapshot{Runqueues: make([]features.Runqueue, len(running))}
	for i, n := range running {
		s.Runqueues[i] = features.Runqueue{Online: true, NrRunning: n}
	}
	return s
}

func speeds(s *features.Snapshot) (of []uint32) {
	for i := range s.Runqueues {
		of = append(of, s.Runqueues[i].Speed)
	}
	return of
}

// canary opens one in a synctest bubble, whose end closes it.
func canary(t *testing.T, h *host, topo *topology.Topology) *Canary {
	t.Helper()
	c, err := Open(Options{Topology: topo, Source: h.open})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tick has snapshots taken ten times a second, as the daemon does, and returns the last.
func tick(c *Canary, d time.Duration, running ...uint32) *features.Snapshot {
	var s *features.Snapshot
	for range d / (100 * time.Millisecond) {
		s = snapshot(running...)
		c.Speeds(s)
		time.Sleep(100 * time.Millisecond)
	}
	return s
}

func TestSpeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(4)
		h.rate = []float64{2e9, 1e9, 2e9 * 0.97, 1e6}
		c := canary(t, h, shape(t, "1x4x1"))
		defer c.Close()
		if diff := cmp.Diff([]uint32{0, 0, 0, 0}, speeds(tick(c, 100*time.Millisecond, 0, 0, 0, 0))); diff != "" {
			t.Errorf("at first (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]uint32{1024, 512, 1024, 1}, speeds(tick(c, 5*time.Second, 0, 1, 2, 0))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		h.with(func() { h.rate[0] = 1e9 })
		tick(c, 10*time.Second, 0, 1, 2, 0)
		if diff := cmp.Diff([]uint32{527, 527, 1024, 1}, speeds(tick(c, time.Second, 0, 1, 2, 0))); diff != "" {
			t.Errorf("one is slower (-want +got):\n%s", diff)
		}
		want := []CPU{ // a median is the step that it is in
			{CPU: 0, Speed: 527, Min: 527, Median: 512, Alarms: 1}, {CPU: 1, Speed: 527, Min: 512, Median: 512},
			{CPU: 2, Speed: 1024, Min: 1024, Median: 1024}, {CPU: 3, Speed: 1, Min: 1, Median: 1},
		}
		if diff := cmp.Diff(want, c.CPUs()); diff != "" {
			t.Errorf("CPUs (-want +got):\n%s", diff)
		}
	})
}

// TestSiblings: what a CPU is worth beside an idle sibling and beside a busy one is kept
// apart.
func TestSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(4)
		c := canary(t, h, shape(t, "1x2x2"))
		defer c.Close()
		h.with(func() { h.rate[1] = 0.6e9 })
		tick(c, 10*time.Second, 1, 0, 0, 0)
		h.with(func() { h.rate[0] = 0.6e9 })
		s := tick(c, 10*time.Second, 1, 1, 0, 0)
		if diff := cmp.Diff([]uint32{614, 614, 1024, 1024}, speeds(s)); diff != "" {
			t.Errorf("both busy (-want +got):\n%s", diff)
		}
		s = snapshot(1, 0, 0, 0)
		c.Speeds(s)
		if diff := cmp.Diff([]uint32{1024, 614, 1024, 1024}, speeds(s)); diff != "" {
			t.Errorf("one busy again (-want +got):\n%s", diff)
		}
		for _, cpu := range c.CPUs() {
			if cpu.Alarms > 0 {
				t.Errorf("a sibling's work is an alarm: %+v", cpu)
			}
		}
	})
}

// TestStale: without a snapshot nobody knows what siblings do.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(2)
		c := canary(t, h, shape(t, "1x1x2"))
		defer c.Close()
		tick(c, 10*time.Second, 0, 0)
		before := c.Counts()
		time.Sleep(30 * time.Second)
		after := c.Counts()
		if after.Uncertain-before.Uncertain < 20 || after.Used-before.Used > 10 {
			t.Errorf("from %+v to %+v", before, after)
		}
	})
}

func TestOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(2)
		topo := shape(t, "1x2x1")
		c := canary(t, h, topo)
		defer c.Close()
		tick(c, 5*time.Second, 0, 0)
		h.with(func() { h.fails[1] = ErrNoCPU })
		if diff := cmp.Diff([]uint32{1024, 0}, speeds(tick(c, 10*time.Second, 0, 0))); diff != "" {
			t.Errorf("gone (-want +got):\n%s", diff)
		}
		h.with(func() { h.fails[1] = nil })
		if diff := cmp.Diff([]uint32{1024, 1024}, speeds(tick(c, 15*time.Second, 0, 0))); diff != "" {
			t.Errorf("back (-want +got):\n%s", diff)
		}
		without := *topo
		without.LeftOut = []topology.LeftOut{{CPUs: topology.NewCPUSet(1)}}
		if err := c.SetTopology(&without); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		before := h.looked(1)
		if diff := cmp.Diff([]uint32{1024, 0}, speeds(tick(c, 10*time.Second, 0, 0))); diff != "" || h.looked(1) != before {
			t.Errorf("left out: %d looks (-want +got):\n%s", h.looked(1)-before, diff)
		}
	})
}

// TestStuck: a CPU that gives no turn keeps no other from being looked at, nor Close.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cpus = 2 * maxThreads // two for each thread
		h := newHost(cpus)
		h.stuck[1] = true
		c := canary(t, h, shape(t, "1x32x1"))
		defer c.Close()
		tick(c, 20*time.Second, make([]uint32, cpus)...)
		freed := 0
		if h.with(func() { freed = h.freed }); freed == 0 || c.Counts().Lost == 0 || h.looked(0) < 10 {
			t.Errorf("freed %d times, %+v, %d looks at its neighbour", freed, c.Counts(), h.looked(0))
		}
		tick(c, 500*time.Millisecond, make([]uint32, cpus)...)
		began := time.Now()
		c.Close()
		ended := 0
		if h.with(func() { ended = h.ended }); time.Since(began) > closeWait || ended != maxThreads {
			t.Errorf("closed after %v, %d sources", time.Since(began), ended)
		}
	})
}

// TestCost: looks take no more than they may, however much there is to look at.
func TestCost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shape  string
		maxCPU float64
		most   float64 // share of one CPU
	}{
		{"without a limit", "1x4x1", 0, 4 * 0.001},
		{"few CPUs", "1x2x1", 0.02, 2 * 0.002},
		{"many CPUs", "2x32x1", 0.01, 0.0025},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				topo := shape(t, tt.shape)
				n := topo.Online.Count()
				h := newHost(n)
				c, err := Open(Options{Topology: topo, Source: h.open, MaxCPU: tt.maxCPU})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				busy := make([]uint32, n)
				for i := range busy {
					busy[i] = 1
				}
				const minutes = 5
				for i := range minutes * 60 {
					h.with(func() {
						for cpu := range h.late { // suspect, always
							h.late[cpu] = time.Duration(i%3/2) * time.Millisecond
							h.rate[cpu] = 1e9 / float64(1+i%3)
						}
					})
					tick(c, time.Second, busy...)
				}
				var share float64
				h.with(func() { share = h.cost.Seconds() / (minutes * 60) })
				if limit := 1.1 * tt.most; share > limit { // it begins with saveFor saved
					t.Errorf("takes %.5f of a CPU, more than %.5f", share, limit)
				}
				if share < tt.most/4 {
					t.Errorf("takes %.5f of a CPU only", share)
				}
			})
		})
	}
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(2)
		c := canary(t, h, shape(t, "1x2x1"))
		defer c.Close()
		var told []Change
		run := func(d time.Duration) {
			for range d / time.Second {
				tick(c, time.Second, 0, 0)
				told = append(told, c.Changes()...)
			}
		}
		run(70 * time.Second)
		slow := time.Now()
		h.with(func() { h.rate[1] = 0.52e9 })
		run(70 * time.Second)
		h.with(func() { h.rate[1] = 1e9 })
		run(10 * time.Second)
		h.with(func() { h.rate[1] = 0.52e9 }) // told too much already
		run(20 * time.Second)
		if len(told) != 2 {
			t.Fatalf("told %v", told)
		}
		if d := told[0].Since.Sub(slow); d < 0 || d > 2*time.Second {
			t.Errorf("since %v after it was", d)
		}
		for i := range told {
			told[i].Since = time.Time{}
		}
		if diff := cmp.Diff([]Change{{CPU: 1, Share: 0.52}, {CPU: 1, Share: 1}}, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestOpenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := errors.New("no eventfd")
		if _, err := Open(Options{Topology: shape(t, "1x2x1"), Source: func() (Source, error) { return nil, want }}); !errors.Is(err, want) {
			t.Errorf("err %v", err)
		}
	})
}

// TestEstimates: whatever samples say, a speed is 1 to 1024, and the fastest is 1024.
func TestEstimates(t *testing.T) {
	topo := shape(t, "1x4x2")
	rapid.Check(t, func(t *rapid.T) {
		c := &Canary{size: 1, groups: make(map[int]*group)}
		c.follow(topo)
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			tr := c.tracks[rapid.IntRange(0, 7).Draw(t, "cpu")]
			tr.beside, tr.busy = rapid.IntRange(0, 1).Draw(t, "beside"), rapid.Bool().Draw(t, "busy")
			now = now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "ms")) * time.Millisecond)
			tr.add(Sample{
				Rate: rapid.Float64Range(0, 1e12).Draw(t, "rate"),
				Late: time.Duration(rapid.IntRange(-1, 1e7).Draw(t, "late")),
			}, now, rapid.Bool().Draw(t, "known"))
		}
		s := snapshot(0, 1, 2, 0, 1, 1, 0, 0)
		c.Speeds(s)
		fastest := uint32(0)
		for cpu, speed := range speeds(s) {
			known := c.tracks[cpu].speed(now) > 0
			if known != (speed > 0) || speed > features.FullSpeed {
				t.Errorf("CPU %d: %d, known %v", cpu, speed, known)
			}
			fastest = max(fastest, speed)
		}
		if fastest != 0 && fastest != features.FullSpeed {
			t.Errorf("the fastest is %d", fastest)
		}
	})
}
