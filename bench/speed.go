// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mllb/topology"
	"mllb/topology/probe"
)

// speedSource measures how fast a CPU is: probe.Live.
type speedSource interface {
	CPUs() (topology.CPUSet, error)
	Work(ctx context.Context, cpus []int, d time.Duration) ([]probe.Rate, error)
}

const (
	mostCPUs = 16                     // that are looked at, so that a look stays short
	mostLook = 500 * time.Millisecond // at all of them
	mostEach = 50 * time.Millisecond  // at one: longer than a time slice of a host
	warmUp   = 5 * time.Millisecond   // of work before: an idle CPU's clock may be low
)

// rank is the sample that a CPU is held against: its third fastest. The fastest
// might be luck, such as a clock that jumped, and would condemn all other runs. A
// quantile of all samples would sink while a CPU is slow, which is when most
// samples are taken, until slow is normal; a fixed rank never sinks. firstLooks are
// taken at the start, so that there is such a sample before the first run.
const (
	rank       = 3
	firstLooks = 5
)

// watch knows how fast the CPUs were so far.
type watch struct {
	source   speedSource
	least    float64 // share of its reference that a CPU has to do
	cpus     []int
	each     time.Duration
	patience time.Duration
	fastest  map[int][]float64 // the rank fastest samples of each CPU, fastest first
}

// newWatch pins a thread to each CPU that it will look at, so that if this is
// impossible, it is said before the first run.
func newWatch(ctx context.Context, source speedSource, percent int, limit time.Duration) (*watch, error) {
	set, err := source.CPUs()
	if err != nil {
		return nil, fmt.Errorf("--steady needs the list of CPUs: %w", err)
	}
	w := &watch{source: source, least: leastShare(percent), cpus: spread(slices.Collect(set.All()), mostCPUs),
		patience: min(limit, mostWait), fastest: make(map[int][]float64)}
	w.each = min(mostEach, mostLook/time.Duration(max(1, len(w.cpus)))) - warmUp
	for _, cpu := range w.cpus {
		if _, err := source.Work(ctx, []int{cpu}, time.Millisecond); err != nil {
			return nil, fmt.Errorf("--steady needs to measure the speed of CPU %d: %w", cpu, err)
		}
	}
	return w, nil
}

// leastShare is what a CPU has to do that may be so many percent slower.
func leastShare(percent int) float64 { return 1 - float64(percent)/100 }

// spread picks at most n, at even distances.
func spread(cpus []int, n int) []int {
	if len(cpus) <= n {
		return cpus
	}
	picked := make([]int, n)
	for i := range picked {
		picked[i] = cpus[i*len(cpus)/n]
	}
	return picked
}

// note keeps a sample if it is one of the fastest.
func (w *watch) note(cpu int, rate float64) {
	all := append(w.fastest[cpu], rate)
	slices.SortFunc(all, func(a, b float64) int { return cmp.Compare(b, a) })
	w.fastest[cpu] = all[:min(len(all), rank)]
}

// share is how much of its work a CPU did at a rate; 1 where nothing is known.
func (w *watch) share(cpu int, rate float64) float64 {
	f := w.fastest[cpu]
	if len(f) == 0 || f[len(f)-1] <= 0 {
		return 1
	}
	return rate / f[len(f)-1]
}

// look measures each CPU while the others are idle, for some of them may share what
// makes them fast.
func (w *watch) look(ctx context.Context) ([]float64, error) {
	rates := make([]float64, len(w.cpus))
	start := time.Now()
	for k, cpu := range w.cpus {
		rate, err := w.rate(ctx, cpu, start.Add(mostLook*time.Duration(k+1)/time.Duration(len(w.cpus))))
		if err != nil {
			return nil, fmt.Errorf("measure the speed of CPU %d: %w", cpu, err)
		}
		rates[k] = rate
		w.note(cpu, rate)
	}
	return rates, nil
}

// rate is the work per wall time. If another thread of this machine ran there, it
// is measured again while there is time; after that the rate is the work per CPU
// time of the measuring thread, as probe has it, for the CPU itself was not slow.
func (w *watch) rate(ctx context.Context, cpu int, end time.Time) (float64, error) {
	if _, err := w.source.Work(ctx, []int{cpu}, warmUp); err != nil {
		return 0, err
	}
	for {
		rates, err := w.source.Work(ctx, []int{cpu}, w.each)
		if err != nil {
			return 0, err
		}
		if !rates[0].Disturbed || time.Now().Add(w.each).After(end) {
			return rates[0].PerSecond, nil
		}
	}
}
