// SPDX-License-Identifier: Apache-2.0

// Package mlp is the network that judges migrations: its file, its inference
// in floating point and in integers, and its training.
package mlp

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mllb/features"
)

// Schema is the version of the model file that this package reads and writes.
const Schema = 1

// MaxHidden bounds the hidden layer of a model.
const MaxHidden = 64

// Model is a network with one hidden layer (ReLU) and one output, a logit.
type Model struct {
	Set        *features.Set
	Weights    [2][][]float64 // by layer, neuron, input: [hidden][features], then [1][hidden]
	Biases     [2][]float64   // by layer, neuron
	Threshold  float64        // migrate if sigmoid(logit) >= Threshold; in (0, 1)
	Ranges     []Range        // of each feature in training; nil: not known
	Provenance Provenance
}

// Provenance says where a model comes from.
type Provenance struct {
	Source   string             `json:"source"`             // what was learned from, in words
	Dataset  string             `json:"dataset,omitempty"`  // digest of the data, rows held out included
	Kernel   string             `json:"kernel,omitempty"`   // release of the kernel that was learned from
	Topology string             `json:"topology,omitempty"` // such as 2x14x2
	Seed     uint64             `json:"seed"`
	Command  string             `json:"command,omitempty"` // that makes this model again
	Note     string             `json:"note,omitempty"`
	Held     []string           `json:"held_out,omitempty"` // runs that were not learned from, but judged with
	Metrics  map[string]float64 `json:"metrics,omitempty"`  // on data held out
}

// NewModel returns a model of the given sizes whose weights are all zero.
func NewModel(set *features.Set, hidden int) *Model {
	m := &Model{Set: set, Threshold: 0.5}
	m.Weights[0] = make([][]float64, hidden)
	for j := range m.Weights[0] {
		m.Weights[0][j] = make([]float64, len(set.Features))
	}
	m.Weights[1] = [][]float64{make([]float64, hidden)}
	m.Biases = [2][]float64{make([]float64, hidden), make([]float64, 1)}
	return m
}

// Hidden returns the number of hidden neurons.
func (m *Model) Hidden() int { return len(m.Weights[0]) }

// Validate says which part of the model cannot be used, in the words of the
// model file. A nil error means that Quantise gives a network whose sums cannot
// overflow.
func (m *Model) Validate() error {
	_, err := m.Quantise()
	return err
}

// Quantised is a Model in Q21.11, as every integer implementation reads it.
type Quantised struct {
	Set       *features.Set
	Weights   [2][][]int32 // as in Model
	Biases    [2][]int32
	Threshold int32 // migrate if logit >= Threshold
}

// Quantise rounds the model to Q21.11.
func (m *Model) Quantise() (*Quantised, error) {
	if err := m.checkSizes(); err != nil {
		return nil, err
	}
	q := &Quantised{Set: m.Set}
	for l := range m.Weights {
		var err error
		if q.Biases[l], err = quantise(m.Biases[l]); err != nil {
			return nil, fmt.Errorf("biases[%d]%w", l, err)
		}
		q.Weights[l] = make([][]int32, len(m.Weights[l]))
		for j, row := range m.Weights[l] {
			if q.Weights[l][j], err = quantise(row); err != nil {
				return nil, fmt.Errorf("weights[%d][%d]%w", l, j, err)
			}
		}
	}
	if !(m.Threshold > 0 && m.Threshold < 1) { // also refuses NaN
		return nil, fmt.Errorf("threshold: %g is not between 0 and 1", m.Threshold)
	}
	// The logit of a float64 in (0, 1) is within 745, so it fits.
	q.Threshold, _ = features.FromFloat(m.Cut())
	if err := m.checkRanges(); err != nil {
		return nil, err
	}
	return q, q.checkSums()
}

// Cut is the threshold as a logit.
func (m *Model) Cut() float64 { return math.Log(m.Threshold / (1 - m.Threshold)) }

func (m *Model) checkSizes() error {
	if m.Set == nil {
		return errors.New("feature_set: missing")
	}
	h := m.Hidden()
	if h < 1 || h > MaxHidden {
		return fmt.Errorf("layers: %d hidden neurons, want 1 to %d", h, MaxHidden)
	}
	sizes := [3]int{len(m.Set.Features), h, 1}
	for l := range m.Weights {
		if n := len(m.Weights[l]); n != sizes[l+1] {
			return fmt.Errorf("weights[%d]: %d rows, want %d", l, n, sizes[l+1])
		}
		for j, row := range m.Weights[l] {
			if len(row) != sizes[l] {
				return fmt.Errorf("weights[%d][%d]: %d numbers, want %d", l, j, len(row), sizes[l])
			}
		}
		if n := len(m.Biases[l]); n != sizes[l+1] {
			return fmt.Errorf("biases[%d]: %d numbers, want %d", l, n, sizes[l+1])
		}
	}
	return nil
}

func quantise(row []float64) ([]int32, error) {
	q := make([]int32, len(row))
	for i, x := range row {
		var err error
		if q[i], err = features.FromFloat(x); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return q, nil
}

// checkSums refuses a network whose accumulator could leave int64: with every
// input at its largest magnitude, 2^31, the rounding half included.
func (q *Quantised) checkSums() error {
	for l := range q.Weights {
		for j, row := range q.Weights[l] {
			// At most 64 terms of at most 2^31: the sum itself is safe.
			sum := int64(0)
			for _, w := range row {
				sum += max(int64(w), -int64(w))
			}
			b := int64(q.Biases[l][j])
			rest := max(b, -b)<<features.FracBits + half
			if sum > (math.MaxInt64-rest)>>31 {
				return fmt.Errorf("weights[%d][%d]: a sum of %g could overflow the accumulator", l, j, float64(sum)/features.One)
			}
		}
	}
	return nil
}

func namesMatch(set *features.Set, names []string) error {
	want := set.Names()
	if slices.Equal(want, names) {
		return nil
	}
	for i := range min(len(want), len(names)) {
		if want[i] != names[i] {
			return fmt.Errorf("features[%d]: %q, but %s has %q there", i, names[i], set.Name, want[i])
		}
	}
	return fmt.Errorf("features: %d names, but %s has %d", len(names), set.Name, len(want))
}
