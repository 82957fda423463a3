// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/features/bpf"
	"mllb/topology"
)

// Latency is how long functions took while they were watched: Figure 4.
type Latency struct {
	Kernel    string        `json:"kernel"` // uname -r
	CPUs      int           `json:"cpus"`   // online
	Wall      time.Duration `json:"wall_ns"`
	Functions []Function    `json:"functions"`
	// Probe is the same pair of programs around a function that does nothing:
	// what is in every duration by fentry beside the function itself.
	Probe   *Function `json:"probe,omitempty"`
	Missing []string  `json:"missing,omitempty"` // what could not be watched, and why
}

// Function is one function's calls.
type Function struct {
	Name string `json:"name"`
	// By is how it was timed: "fentry", or "user" for a function of mllb's own.
	By   string `json:"by"`
	Lost uint64 `json:"lost"` // calls without a duration; 0 is usual
	Histogram
}

// Share is the part of all CPUs' time that the function took, from 0 to 1.
func (l *Latency) Share(f *Function) float64 {
	if l.Wall <= 0 || l.CPUs <= 0 {
		return 0
	}
	return float64(f.Sum) / float64(l.Wall) / float64(l.CPUs)
}

// balancers are what Figure 4 is about, each by the names that it has had:
// load_balance is sched_balance_rq since 6.10 (4c3e509ea9f2).
var balancers = [][]string{{"can_migrate_task"}, {"sched_balance_rq", "load_balance"}}

// empty does nothing but add 1, and a test run of any tracing program calls it
// (net/bpf/test_run.c, bpf_prog_test_run_tracing).
const empty = "bpf_fentry_test1"

// probeCalls is how often the empty function is called: some milliseconds.
const probeCalls = 10000

// ErrNoLatency says that none of the functions can be timed here.
var ErrNoLatency = errors.New("the kernel's balancer cannot be timed")

// LatencyTracer times the running kernel's balancer from OpenLatency to Stop.
type LatencyTracer struct {
	maps   *ebpf.Map // histograms by function; the first is the empty one's
	pairs  []*pair
	probe  Function
	result *Latency
	start  time.Time
}

// OpenLatency times the kernel's balancer by fentry and fexit from now on.
// Functions that cannot be timed are named in Latency.Missing; if none can, the
// error wraps ErrNoLatency and says why.
func OpenLatency(log *slog.Logger) (*LatencyTracer, error) {
	t := &LatencyTracer{result: &Latency{}}
	if err := t.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoLatency, err), t.Close())
	}
	for _, why := range t.result.Missing {
		log.Warn("not timed: " + why)
	}
	return t, nil
}

func (t *LatencyTracer) open() error {
	if err := bpf.Probe(bpf.Options{}); err != nil { // names the capability that is missing
		return err
	}
	top, err := topology.Read("/")
	if err != nil {
		return err
	}
	t.result.CPUs = top.Online.Count()
	if t.result.Kernel, err = release(); err != nil {
		return err
	}
	if err := t.makeMap(); err != nil {
		return err
	}
	if err := t.measureProbe(); err != nil {
		return err
	}
	var whys error
	for i, names := range balancers {
		if err := t.watch(i+1, names); err != nil {
			whys = errors.Join(whys, err)
			t.result.Missing = append(t.result.Missing, err.Error())
		}
	}
	if len(t.result.Missing) == len(balancers) {
		return whys
	}
	t.start = time.Now()
	return t.setActive(1) // only now: to attach takes long on a loaded machine
}

func (t *LatencyTracer) setActive(on uint32) error {
	var errs []error
	for _, p := range t.pairs {
		errs = append(errs, p.setActive(on))
	}
	return errors.Join(errs...)
}

func release() (string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(uts.Release[:]), nil
}

func (t *LatencyTracer) makeMap() error {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11
		return err
	}
	spec, err := latencySpec()
	if err != nil {
		return err
	}
	if t.maps, err = ebpf.NewMap(spec.Maps[latencyMapLatencies]); err != nil {
		return fmt.Errorf("make the histograms: %w", err)
	}
	return nil
}

// measureProbe times the empty function.
func (t *LatencyTracer) measureProbe() error {
	p, err := attachPair(empty, 0, t.maps)
	if err != nil {
		return fmt.Errorf("%s: %w", empty, err)
	}
	err = p.setActive(1)
	for i := 0; i < probeCalls && err == nil; i++ {
		if _, err = p.entry.Run(&ebpf.RunOptions{}); err != nil {
			err = fmt.Errorf("call %s: %w", empty, err)
		}
	}
	err = errors.Join(err, p.close())
	if err == nil {
		t.probe, err = t.read(p)
	}
	return err
}

// watch attaches to a function by the name that this kernel has for it.
func (t *LatencyTracer) watch(which int, names []string) error {
	name, err := find(names)
	if err != nil {
		return err
	}
	p, err := attachPair(name, which, t.maps)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.pairs = append(t.pairs, p)
	return nil
}

// Stop takes the programs off and returns what they counted.
func (t *LatencyTracer) Stop() (*Latency, error) {
	if err := t.setActive(0); err != nil {
		return nil, err
	}
	t.result.Wall = time.Since(t.start)
	for _, p := range t.pairs {
		err := p.close()
		f, rerr := t.read(p)
		if err = errors.Join(err, rerr); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		t.result.Functions = append(t.result.Functions, f)
	}
	t.pairs = nil
	t.result.Probe = &t.probe
	return t.result, nil
}

// Close gives everything back; it may be called more than once.
func (t *LatencyTracer) Close() error {
	var errs []error
	for _, p := range t.pairs {
		errs = append(errs, p.close())
	}
	t.pairs = nil
	if t.maps != nil {
		errs = append(errs, t.maps.Close())
		t.maps = nil
	}
	return errors.Join(errs...)
}

// read adds up a function's histograms of all CPUs.
func (t *LatencyTracer) read(p *pair) (Function, error) {
	var cpus []latencyMllbLatency
	if err := t.maps.Lookup(uint32(p.which), &cpus); err != nil {
		return Function{}, fmt.Errorf("read the histogram: %w", err)
	}
	f := merge(cpus)
	f.Name, f.By = p.name, "fentry"
	f.Lost += p.misses
	return f, nil
}

// merge adds up CPUs. Returns without an entry are calls from before the pair
// was complete or after it began to be taken off; one whose caller changed the
// CPU in the middle is known by its entry.
func merge(cpus []latencyMllbLatency) (f Function) {
	var count, sum, longest, lost uint64
	var buckets [numBuckets]uint64
	for i := range cpus {
		c := &cpus[i]
		count += c.Count
		sum += c.Sum
		longest = max(longest, c.Max)
		lost += c.Lost
		if c.Start != 0 { // of a call whose return will not be seen any more
			lost++
		}
		for b, n := range c.Buckets {
			buckets[b] += n
		}
	}
	return Function{Lost: lost, Histogram: histogram(count, sum, longest, &buckets)}
}
