// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math"

	"mllb/features"
	"mllb/mlp"
)

// Limits of a network in BPF (scx.h).
const (
	MaxHidden = 16
	ratios    = 5
	tableBits = 6
	rows      = 1 << tableBits
)

// neuron is struct mllb_neuron.
type neuron struct {
	In  [ratios]int64
	Out int64
}

// net is struct mllb_net.
type net struct {
	Low, High [rows][MaxHidden]int64
	Neuron    [MaxHidden]neuron
	OutBias   int64
	Threshold int32
	Hidden    uint32
	Zero, One uint32
	Min, Max  [ratios]int32
	Policy    uint32
	_         uint32
	Checksum  uint64
}

// policies are enum mllb_policy, by the names of scheduler.NewPolicy.
var policies = []string{"mlp", "cfs", "always", "never"}

// newNet returns a policy as BPF reads it. m may be nil for all but mlp.
func newNet(policy string, m *mlp.Model) (*net, error) {
	n := &net{Policy: math.MaxUint32}
	for i, name := range policies {
		if name == policy {
			n.Policy = uint32(i)
		}
	}
	switch {
	case n.Policy == math.MaxUint32:
		return nil, fmt.Errorf("scx: no policy %q", policy)
	case n.Policy == 0 && m == nil:
		return nil, fmt.Errorf("scx: policy %s: no model", policy)
	case n.Policy == 0:
		if err := n.fill(m); err != nil {
			return nil, fmt.Errorf("scx: %w", err)
		}
	}
	if err := n.seal(); err != nil {
		return nil, err
	}
	return n, nil
}

// fill takes a model over. The features of every set are the first ones of
// locality17, which BPF derives; bits that a set lacks find weights of 0.
func (n *net) fill(m *mlp.Model) error {
	q, err := m.Quantise()
	if err != nil {
		return err
	}
	hidden := len(q.Weights[0])
	if hidden > MaxHidden {
		return fmt.Errorf("layers: %d hidden neurons, but at most %d run in BPF", hidden, MaxHidden)
	}
	n.Hidden, n.Threshold = uint32(hidden), q.Threshold
	n.OutBias = shifted(q.Biases[1][0])
	low, high := m.Limits()
	for k := range n.Min {
		n.Min[k], n.Max[k] = math.MinInt32, math.MaxInt32
	}
	bit, ratio := 0, 0
	for i, f := range m.Set.Features {
		binary := f.Kind == features.Binary
		switch {
		case binary && bit == 2*tableBits, !binary && ratio == ratios:
			return fmt.Errorf("feature_set: %s has more features than BPF derives", m.Set.Name)
		case binary:
			n.addBit(q, i, bit)
			if low != nil {
				n.One |= uint32(low[i]>>features.FracBits) << bit
				n.Zero |= uint32(1-high[i]>>features.FracBits) << bit
			}
			bit++
		default:
			for j := range hidden {
				n.Neuron[j].In[ratio] = int64(q.Weights[0][j][i])
			}
			if low != nil {
				n.Min[ratio], n.Max[ratio] = low[i], high[i]
			}
			ratio++
		}
	}
	for j := range hidden {
		n.Neuron[j].Out = int64(q.Weights[1][0][j])
		for row := range n.Low {
			n.Low[row][j] += shifted(q.Biases[0][j])
		}
	}
	return nil
}

// addBit adds the weights of the i-th feature, which is the bit-th of the 0/1 ones,
// to the rows of the table in which that is 1.
func (n *net) addBit(q *mlp.Quantised, i, bit int) {
	table := &n.Low
	if bit >= tableBits {
		table, bit = &n.High, bit-tableBits
	}
	for row := range table {
		if row>>bit&1 == 0 {
			continue
		}
		for j := range q.Weights[0] {
			table[row][j] += int64(q.Weights[0][j][i]) << features.FracBits
		}
	}
}

// shifted is a bias with the rounding half included.
func shifted(bias int32) int64 { return int64(bias)<<features.FracBits + 1<<(features.FracBits-1) }

// seal puts the checksum on: it goes with each decision, to say by what it was made.
func (n *net) seal() error {
	n.Checksum = 0
	b, err := binary.Append(nil, binary.LittleEndian, n)
	if err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	n.Checksum = crc64.Checksum(b, crc64.MakeTable(crc64.ECMA))
	return nil
}
