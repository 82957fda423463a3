// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"
)

// On a shared host a neighbour slows a CPU for a minute at a time, and no counter
// of the guest shows it: steal time stays 0. So the CPUs are measured themselves,
// one after the other, right before and right after each run:
//
//	look, and wait while a CPU is slow ── run ── look ── judge
//
// A run counts only if in both looks each CPU did its share of its own reference.
// CPUs are never held against each other: some are slower by design.

// Steadiness is how fast the CPUs were around a run, in units of work per second.
type Steadiness struct {
	CPUs   []int     `json:"cpus"`
	Before []float64 `json:"before"`
	After  []float64 `json:"after"`
	Least  float64   `json:"least_share"` // of its reference that any of them did
}

// samples are those of each CPU; a nil s has none.
func (s *Steadiness) samples() iter.Seq2[int, float64] {
	return func(yield func(int, float64) bool) {
		if s == nil {
			return
		}
		for _, rates := range [][]float64{s.Before, s.After} {
			for k, cpu := range s.CPUs[:min(len(s.CPUs), len(rates))] {
				if !yield(cpu, rates[k]) {
					return
				}
			}
		}
	}
}

// Slow is a CPU that did less of its work than it should.
type Slow struct {
	CPU   int     `json:"cpu"`
	Share float64 `json:"share"` // of what it does at its reference speed
	When  string  `json:"when"`  // before or after the run
}

func (s Slow) String() string {
	if s.When == "" {
		return fmt.Sprintf("CPU %d does %.2f of its work", s.CPU, s.Share)
	}
	return fmt.Sprintf("CPU %d did %.2f of its work %s it", s.CPU, s.Share, s.When)
}

const (
	lookAgain = 2 * time.Second // while a CPU is slow
	mostWait  = 10 * time.Minute
	mostAgain = 5 // times that a slot is made again; then its last run counts
	// looksAfter a run are taken at most, lookSoon apart: what is left to do after a
	// run slows a CPU for a moment, a neighbour for many.
	looksAfter = 4
	lookSoon   = 250 * time.Millisecond
)

// mostNamed is how many of a list a line has room for.
const mostNamed = 3

// slowText names the first of them.
func slowText(slow []Slow) string {
	var parts []string
	for _, s := range slow[:min(len(slow), mostNamed)] {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, ", ") + more(len(slow))
}

func more(n int) string {
	if n <= mostNamed {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-mostNamed)
}

// learn takes up what earlier runs of the benchmark saw, and looks a few times.
func (w *watch) learn(ctx context.Context, records []Record) error {
	for i := range records {
		w.recall(records[i].Steady)
	}
	for range firstLooks {
		if _, err := w.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recall takes up the samples of a run.
func (w *watch) recall(s *Steadiness) {
	for cpu, rate := range s.samples() {
		w.note(cpu, rate)
	}
}

// slow lists the CPUs that were.
func (w *watch) slow(rates []float64, when string) (slow []Slow) {
	for k, cpu := range w.cpus {
		if share := w.share(cpu, rates[k]); share < w.least {
			slow = append(slow, Slow{cpu, share, when})
		}
	}
	return slow
}

// await looks until no CPU is slow, or patience ends.
func (w *watch) await(ctx context.Context, waiting func([]Slow, time.Duration)) ([]float64, error) {
	for end := time.Now().Add(w.patience); ; {
		rates, err := w.look(ctx)
		if err != nil {
			return nil, err
		}
		slow := w.slow(rates, "")
		if len(slow) == 0 || !time.Now().Before(end) {
			return rates, nil
		}
		waiting(slow, w.patience)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

// fastestOf looks n times at most, until no CPU is slow, and returns what each did at best.
func (w *watch) fastestOf(ctx context.Context, n int) ([]float64, error) {
	best, err := w.look(ctx)
	for ; err == nil && n > 1 && len(w.slow(best, "")) > 0; n-- {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookSoon):
		}
		var rates []float64
		rates, err = w.look(ctx)
		for k := range rates {
			best[k] = max(best[k], rates[k])
		}
	}
	return best, err
}

// around makes a run and says whether the CPUs were steady. A run that failed does
// not count anyway. A nil watch only makes the run.
func (w *watch) around(ctx context.Context, s Slot, p *board, run runner) (Record, error) {
	if w == nil {
		return run(ctx, s)
	}
	before, err := w.await(ctx, p.wait)
	if err != nil {
		return Record{}, err
	}
	p.goOn()
	rec, err := run(ctx, s)
	if err != nil || rec.Failed != "" {
		return rec, err
	}
	after, err := w.fastestOf(ctx, looksAfter)
	if err != nil {
		return rec, err
	}
	w.judge(&rec, before, after)
	return rec, nil
}

// judge marks a run. The look before it is judged by what is known after it.
func (w *watch) judge(rec *Record, before, after []float64) {
	rec.Disturbed = append(w.slow(before, "before"), w.slow(after, "after")...)
	rec.Steady = &Steadiness{CPUs: w.cpus, Before: before, After: after}
	rec.Steady.Least = w.leastShare(rec.Steady)
}

// leastShare is that of any CPU before or after a run.
func (w *watch) leastShare(s *Steadiness) float64 {
	least := 1.0
	for cpu, rate := range s.samples() {
		least = min(least, w.share(cpu, rate))
	}
	return least
}
