// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Unit is what Split never divides.
type Unit string

// The units. Rows of one run are near copies of each other: a network is
// honestly judged only on runs, or loads, that it has never seen. ByTime holds
// out the end of every run, for files of a single one.
const (
	ByRun  Unit = "run"
	ByLoad Unit = "load"
	ByTime Unit = "time"
)

// Split says how to divide files in two.
type Split struct {
	By             Unit
	Fraction       float64 // of the rows to hold out at least: more than 0, less than 1
	Seed           uint64  // which runs or loads: the same seed holds out the same
	Train, Holdout string  // the files to write
	Force          bool    // replace what is there
	CreatedBy      string
}

// Parts counts what Write wrote.
type Parts struct {
	Train, Holdout int64    // rows
	Held           []string // the runs or loads held out whole; nil by time
}

// Write reads the files twice: to count, and to divide.
func (s *Split) Write(ctx context.Context, paths ...string) (Parts, error) {
	if !(s.Fraction > 0 && s.Fraction < 1) {
		return Parts{}, fmt.Errorf("split: fraction %g is not between 0 and 1", s.Fraction)
	}
	ms, err := metas(paths)
	if err != nil {
		return Parts{}, err
	}
	rows := make(map[string]int64) // by unit; by run for ByTime
	runs := make(map[string]bool)
	err = Each(ctx, paths, func(_ string, _ int64, r *Row) error {
		rows[s.unit(r.Run)]++
		runs[r.Run.ID] = true
		return nil
	})
	if err != nil {
		return Parts{}, err
	}
	pick, held, err := s.plan(rows)
	if err != nil {
		return Parts{}, err
	}
	parts, err := s.divide(ctx, ms, runs, pick, paths)
	parts.Held = held
	return parts, err
}

func (s *Split) unit(r *Run) string {
	if s.By == ByLoad {
		return r.Load
	}
	return r.ID
}

// plan returns a function that says of each row, in order, whether it is held
// out, and the units that are.
func (s *Split) plan(rows map[string]int64) (func(*Run) bool, []string, error) {
	switch {
	case s.By == ByTime:
		return s.tails(rows), nil, nil
	case s.By != ByRun && s.By != ByLoad:
		return nil, nil, fmt.Errorf("split: by %q: want run, load or time", s.By)
	case len(rows) < 2:
		return nil, nil, fmt.Errorf("split: the rows are of %d %s: none can be held out whole", len(rows), s.By)
	}
	held := s.draw(rows)
	return func(r *Run) bool { return slices.Contains(held, s.unit(r)) }, held, nil
}

// tails holds out the last rows of each run, at least one and never all.
func (s *Split) tails(rows map[string]int64) func(*Run) bool {
	left := make(map[string]int64)
	for run, n := range rows {
		left[run] = n - min(n-1, int64(math.Ceil(s.Fraction*float64(n))))
	}
	return func(r *Run) bool {
		left[r.ID]--
		return left[r.ID] < 0
	}
}

// draw picks units until they have the fraction of the rows, but never all.
func (s *Split) draw(rows map[string]int64) []string {
	units := make([]string, 0, len(rows))
	var total int64
	for u, n := range rows {
		units = append(units, u)
		total += n
	}
	slices.Sort(units)
	rng := rand.New(rand.NewPCG(s.Seed, 0x73706c6974)) // "split": a stream of its own
	rng.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	want, k := s.Fraction*float64(total), 0
	for got := int64(0); k < len(units)-1 && float64(got) < want; k++ {
		got += rows[units[k]]
	}
	held := units[:k]
	slices.Sort(held)
	return held
}

// divide writes the two files, or neither.
func (s *Split) divide(ctx context.Context, ms []Meta, has map[string]bool, held func(*Run) bool, paths []string) (p Parts, err error) {
	meta, err := s.meta(ms, has)
	if err != nil {
		return p, err
	}
	train, err := create(ctx, s.Train, s.Force, meta, small)
	if err != nil {
		return p, err
	}
	out, err := create(ctx, s.Holdout, s.Force, meta, small)
	if err != nil {
		train.abort()
		return p, err
	}
	in := [2]map[string]bool{{}, {}}
	err = Each(ctx, paths, func(_ string, _ int64, r *Row) error {
		if held(r.Run) {
			in[1][r.Run.ID] = true
			return out.add(r)
		}
		in[0][r.Run.ID] = true
		return train.add(r)
	})
	if err == nil {
		err = errors.Join(train.setMeta(only(meta, in[0])), out.setMeta(only(meta, in[1])))
	}
	if err != nil {
		train.abort()
		out.abort()
		return p, err
	}
	p.Train, p.Holdout = train.n, out.n
	if err := train.commit(true); err != nil {
		out.abort()
		return p, err
	}
	return p, out.commit(true)
}

// meta joins the runs of the files that have rows.
func (s *Split) meta(ms []Meta, has map[string]bool) (Meta, error) {
	all := Meta{CreatedBy: s.CreatedBy, FeatureSets: setNames()}
	seen := make(map[string]bool)
	for _, m := range ms {
		for _, run := range m.Runs {
			if seen[run.ID] {
				return all, fmt.Errorf("split: run %q is in two of the files", run.ID)
			}
			seen[run.ID] = true
			if has[run.ID] {
				all.Runs = append(all.Runs, run)
			}
		}
	}
	return all, nil
}

// only returns m with the runs that keep names.
func only(m Meta, keep map[string]bool) *Meta {
	m.Runs = slices.DeleteFunc(slices.Clone(m.Runs), func(r Run) bool { return !keep[r.ID] })
	return &m
}
