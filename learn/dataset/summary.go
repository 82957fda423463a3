// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"mllb/features"
)

// Labels counts rows: all of them, and the usable by their label.
type Labels struct {
	Name    string `json:"name"`
	Rows    int64  `json:"rows"`
	Usable  int64  `json:"usable"`
	Stay    int64  `json:"stay"`
	Migrate int64  `json:"migrate"`
}

// Column is the range of one column over all rows.
type Column struct {
	Name   string           `json:"name"`
	Min    *int64           `json:"min,omitempty"` // of numbers; of a list, its length
	Max    *int64           `json:"max,omitempty"`
	Beyond int64            `json:"beyond,omitempty"` // numbers of 2^63 and more, in neither
	Values map[string]int64 `json:"values,omitempty"` // how often each, of names and booleans
	Others int64            `json:"others,omitempty"` // values beyond the first 64 names
}

// Summary is what `mllb dataset info` tells. It is of bounded size, however
// many rows there are: distinct vectors are counted up to maxDistinct.
type Summary struct {
	Total      Labels   `json:"total"`
	Runs       []Run    `json:"runs"`
	ByRun      []Labels `json:"by_run"`
	ByLoad     []Labels `json:"by_load"`
	ByTag      []Labels `json:"by_tag"`
	ByKernel   []Labels `json:"by_kernel"`
	ByDomain   []Labels `json:"by_domain"`
	Conditions []Labels `json:"conditions"`
	Columns    []Column `json:"columns"`

	Set       string     `json:"feature_set"`
	Distinct  int64      `json:"distinct_vectors"`  // different vectors of the set among the usable rows, in Q21.11
	Both      int64      `json:"ambiguous_vectors"` // of these, seen with both labels
	Exact     bool       `json:"distinct_exact"`    // false: there are more
	Features  []*Feature `json:"features"`
	distinct  map[uint64]uint8
	seed      maphash.Seed
	set       *features.Set
	groups    [numGroups]map[string]*Labels
	floats    []float32
	vector    features.Vector
	runByName map[string]bool
}

// maxDistinct bounds the memory that counting takes: about 200 MB.
const maxDistinct = 4 << 20

// maxNames bounds how many values of a column are told apart.
const maxNames = 64

// What rows are counted by.
const (
	byRun = iota
	byLoad
	byTag
	byKernel
	byDomain
	byCondition
	numGroups
)

// Summarize reads the files once.
func Summarize(ctx context.Context, set *features.Set, paths ...string) (*Summary, error) {
	s := &Summary{
		Set: set.Name, set: set, seed: maphash.MakeSeed(), distinct: make(map[uint64]uint8), Exact: true,
		floats: make([]float32, len(set.Features)), runByName: make(map[string]bool),
	}
	for i := range s.groups {
		s.groups[i] = make(map[string]*Labels)
	}
	for i := range set.Features {
		s.Features = append(s.Features, newFeature(&set.Features[i]))
	}
	for i := range columns {
		s.Columns = append(s.Columns, Column{Name: columns[i].name})
	}
	ms, err := metas(paths)
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		for _, run := range m.Runs {
			if !s.runByName[run.ID] { // a run split by time is in two files
				s.Runs = append(s.Runs, run)
				s.runByName[run.ID] = true
			}
		}
	}
	err = Each(ctx, paths, func(_ string, _ int64, r *Row) error { s.add(r); return nil })
	if err != nil {
		return nil, err
	}
	s.finish()
	return s, nil
}

func (s *Summary) add(r *Row) {
	s.Total.add(r)
	for i, name := range [numGroups]string{
		byRun: r.Run.ID, byLoad: r.Run.Load, byTag: r.Run.Tag, byKernel: r.Run.Kernel,
		byDomain: text(&r.DomainName), byCondition: r.Condition.String(),
	} {
		l := s.groups[i][name]
		if l == nil {
			l = &Labels{Name: name}
			s.groups[i][name] = l
		}
		l.add(r)
	}
	for i := range columns {
		s.Columns[i].add(&columns[i], r)
	}
	if r.Usable() {
		s.addFeatures(r)
	}
}

func (s *Summary) addFeatures(r *Row) {
	y := label(r)
	s.set.Floats(s.floats, &r.Decision)
	for i, x := range s.floats {
		s.Features[i].add(x, y)
	}
	s.set.Fill(&s.vector, &r.Decision)
	// A hash of 64 bits: among 4 million, one collision in two million tries.
	h := maphash.Comparable(s.seed, s.vector)
	labels, known := s.distinct[h]
	if !known && len(s.distinct) >= maxDistinct {
		s.Exact = false
		return
	}
	s.distinct[h] = labels | 1<<y
}

func (l *Labels) add(r *Row) {
	l.Rows++
	switch {
	case !r.Usable():
		return
	case r.Migrate:
		l.Migrate++
	default:
		l.Stay++
	}
	l.Usable++
}

func (k *Column) add(c *column, r *Row) {
	field := c.field(r)
	if list, ok := field.(*[]uint64); ok {
		k.number(int64(len(*list)))
		return
	}
	if x, ok := integer(field); ok {
		k.number(x)
		return
	}
	if _, big := field.(*uint64); big {
		k.Beyond++
		return
	}
	name := c.text(r)
	if k.Values == nil {
		k.Values = make(map[string]int64)
	}
	if _, known := k.Values[name]; !known && len(k.Values) >= maxNames {
		k.Others++
		return
	}
	k.Values[name]++
}

func (k *Column) number(x int64) {
	if k.Min == nil {
		low, high := x, x
		k.Min, k.Max = &low, &high
	}
	*k.Min, *k.Max = min(*k.Min, x), max(*k.Max, x)
}

func (s *Summary) finish() {
	for i, dst := range [numGroups]*[]Labels{&s.ByRun, &s.ByLoad, &s.ByTag, &s.ByKernel, &s.ByDomain, &s.Conditions} {
		for _, l := range s.groups[i] {
			*dst = append(*dst, *l)
		}
		slices.SortFunc(*dst, func(a, b Labels) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Name, b.Name)) })
	}
	s.Distinct = int64(len(s.distinct))
	for _, labels := range s.distinct {
		if labels == 1<<0|1<<1 {
			s.Both++
		}
	}
	for _, f := range s.Features {
		f.finish()
	}
}
