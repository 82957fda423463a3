// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"mllb/bench/measure"
	"mllb/internal/number"
)

// Report is what the runs of one result directory say.
type Report struct {
	Verdict string `json:"verdict"` // in one sentence
	Head
	Dir       string           `json:"-"`
	Ended     time.Time        `json:"ended"` // start of the last run
	Runs      int              `json:"runs"`  // that count
	Failed    int              `json:"failed"`
	Warmup    int              `json:"warmup_runs"`
	Again     int              `json:"made_again,omitempty"` // runs that a slow CPU disturbed, left out everywhere
	Torn      bool             `json:"-"`
	Workloads []WorkloadResult `json:"results"`
	Means     []GeoMean        `json:"geometric_means"` // of times
	// RunMeans are of the geometric means of all runs.
	RunMeans []GeoMean `json:"geometric_means_of_all_runs"`
	// SlowestMeans are of the slowest tenths; none where there are too few runs.
	SlowestMeans []GeoMean         `json:"geometric_means_of_slowest_tenths,omitempty"`
	Latency      []measure.Latency `json:"latency,omitempty"`
	Facts        []Fact            `json:"facts,omitempty"`
}

// WorkloadResult is one workload under each arm, stock first.
type WorkloadResult struct {
	Workload
	Arms []ArmResult `json:"arms"`
}

// ArmResult is the runs of one workload under one arm.
type ArmResult struct {
	Arm       string                `json:"arm"`
	Runs      int                   `json:"runs"`
	Failed    int                   `json:"failed"`
	Reasons   []string              `json:"reasons,omitempty"`   // why, each once
	Values    map[string]Measured   `json:"values"`              // by metric; those not measured are left out
	Mean      Mean                  `json:"geometric_mean"`      // of all runs' times
	Slowest   Slowest               `json:"slowest_tenth"`       // by time
	Humps     *Humps                `json:"two_humps,omitempty"` // of its times
	Outliers  []Outlier             `json:"outliers,omitempty"`  // by time
	Effects   Effects               `json:"did"`
	Levels    map[string]number.Num `json:"migrations_by_level,omitempty"` // median a run, by what both CPUs share
	Steal     number.Num            `json:"steal"`                         // CPU time that the hypervisor took, by wall time: 0.01 is 1 % of a CPU; median
	Imbalance []uint64              `json:"imbalance"`                     // how many samples had a maximum imbalance of i
	Lengths   []uint64              `json:"lengths"`                       // how often a queue had i tasks
}

// Measured is one metric.
type Measured struct {
	Estimate
	Against *Comparison `json:"against_stock,omitempty"`
	values  []float64
}

// value is one metric, undefined where no run measured it.
func (a *ArmResult) value(metric string) Measured {
	v, ok := a.Values[metric]
	if !ok {
		v.Estimate = estimate(nil)
	}
	return v
}

// Load makes the report of a result directory.
func Load(dir string) (*Report, error) {
	h, err := readHead(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no results of mllb bench: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	records, _, err := readRecords(filepath.Join(dir, runsFile))
	if err != nil {
		return nil, err
	}
	r := newReport(*h, records)
	r.Dir = dir
	if r.Latency, err = loadLatency(dir); err != nil {
		return nil, err
	}
	r.Facts, err = loadFacts(dir)
	return r, err
}

// loadLatency reads what `mllb latency --out` wrote into latency*.json, if it is there.
func loadLatency(dir string) (all []measure.Latency, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "latency*.json"))
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		var l measure.Latency
		if err := readJSON(p, &l); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// newReport is a function of the records alone.
func newReport(h Head, records []Record) *Report {
	r := &Report{Head: h}
	by := make(map[Slot][]*Record)
	for i := range records {
		rec := &records[i]
		if rec.Started.After(r.Ended) {
			r.Ended = rec.Started
		}
		if !rec.fills() {
			r.Again++
			continue
		}
		if rec.Warmup() {
			r.Warmup++
			continue
		}
		by[rec.pair()] = append(by[rec.pair()], rec)
	}
	for _, of := range by { // the same set of runs is the same report
		slices.SortFunc(of, func(a, b *Record) int { return cmp.Compare(a.Round, b.Round) })
	}
	for _, w := range h.Config.Workloads {
		result := WorkloadResult{Workload: w}
		for i := range h.Config.Arms {
			a := newArmResult(&h.Config.Arms[i], by[Slot{Workload: w.Name, Arm: h.Config.Arms[i].Name}])
			r.Runs += a.Runs
			r.Failed += a.Failed
			result.Arms = append(result.Arms, a)
		}
		r.Workloads = append(r.Workloads, result)
	}
	r.compare()
	r.Head.Notes = append(slices.Clone(h.Notes), r.notes(records)...)
	r.Verdict = r.sentence()
	return r
}

func newArmResult(arm *Arm, records []*Record) ArmResult {
	a := ArmResult{Arm: arm.Name, Values: make(map[string]Measured), Steal: number.Unknown}
	records = slices.DeleteFunc(slices.Clone(records), func(r *Record) bool {
		if r.Failed == "" {
			return false
		}
		a.Failed++
		if !slices.Contains(a.Reasons, r.Failed) {
			a.Reasons = append(a.Reasons, r.Failed)
		}
		return true
	})
	a.Runs = len(records)
	for _, m := range metrics {
		var values []float64
		for _, r := range records {
			if v, ok := m.of(r); ok {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			a.Values[m.Name] = Measured{Estimate: estimate(values), values: values}
		}
	}
	a.shape(records)
	a.Effects = newEffects(arm, records)
	a.sum(records)
	return a
}

// compare holds every arm against stock, one metric after the other.
func (r *Report) compare() {
	for _, m := range metrics {
		var family []*Comparison
		for i := range r.Workloads {
			arms := r.Workloads[i].Arms
			stock, ok := arms[0].Values[m.Name]
			if !ok {
				continue
			}
			for j := range arms[1:] {
				a := &arms[1+j]
				v, ok := a.Values[m.Name]
				if !ok {
					continue
				}
				c := compare(stock.values, v.values)
				v.Against = &c
				a.Values[m.Name] = v
				family = append(family, &c)
			}
		}
		judge(family)
		r.detectable(m.Name, len(family))
	}
	for j, a := range r.Config.Arms[1:] {
		var pairs []pair
		for _, w := range r.Workloads {
			pairs = append(pairs, pair{w.Arms[0].Values[metrics[0].Name].values, w.Arms[1+j].Values[metrics[0].Name].values})
		}
		r.Means = append(r.Means, geoMean(a.Name, pairs, typical, r.Config.Seed))
	}
	r.compareRuns()
}

// detectable says of each comparison what it could have found, at the level that
// the strictest of the family was held to.
func (r *Report) detectable(metric string, family int) {
	type key struct{ workload, runs int }
	known := make(map[key]number.Num)
	for i := range r.Workloads {
		for j := range r.Workloads[i].Arms {
			v := r.Workloads[i].Arms[j].Values[metric]
			if v.Against == nil {
				continue
			}
			k := key{i, v.N}
			if _, ok := known[k]; !ok {
				known[k] = smallest(r.Workloads[i].Arms[0].Values[metric].values, v.N, alpha/float64(family), r.Config.Seed)
			}
			v.Against.Smallest = known[k]
		}
	}
}

// sum adds up what is drawn of the runs' samples.
func (a *ArmResult) sum(records []*Record) {
	var steal []float64
	levels := make(map[string][]float64)
	for _, r := range records {
		s := r.Sample
		if s == nil {
			continue
		}
		for _, n := range s.MaxImbalance {
			a.Imbalance = count(a.Imbalance, int(n), 1)
		}
		for length, n := range s.Lengths {
			a.Lengths = count(a.Lengths, length, n)
		}
		steal = append(steal, s.Steal.Seconds()/max(s.Wall.Seconds(), 1e-9))
		if s.HasMigrations {
			for l, n := range s.Migrations {
				levels[levelName(l)] = append(levels[levelName(l)], float64(n))
			}
		}
	}
	if len(steal) > 0 {
		a.Steal = median(steal)
	}
	for l, values := range levels {
		if a.Levels == nil {
			a.Levels = make(map[string]number.Num)
		}
		a.Levels[l] = median(values)
	}
}

// maxShown bounds what a histogram has, whatever a sample says.
const maxShown = 1 << 14

func count(h []uint64, at int, n uint64) []uint64 {
	if n == 0 {
		return h
	}
	at = min(at, maxShown-1)
	for len(h) <= at {
		h = append(h, 0)
	}
	h[at] += n
	return h
}

func median(values []float64) number.Num {
	if len(values) == 0 {
		return number.Unknown
	}
	return number.Num(middle(slices.Sorted(slices.Values(values))))
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	var keys []K
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
