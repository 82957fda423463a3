// SPDX-License-Identifier: Apache-2.0

package mlp

// Float is the network in single precision. It is not changed by use.
type Float struct {
	neurons []floatNeuron
	bias    float32
	cut     float32
}

type floatNeuron struct {
	in        []float32
	bias, out float32
}

// NewFloat prepares a model for inference in floating point.
func NewFloat(m *Model) (*Float, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	f := &Float{
		neurons: make([]floatNeuron, m.Hidden()),
		bias:    float32(m.Biases[1][0]),
		cut:     float32(m.Cut()),
	}
	for j, row := range m.Weights[0] {
		n := floatNeuron{make([]float32, len(row)), float32(m.Biases[0][j]), float32(m.Weights[1][0][j])}
		for i, w := range row {
			n.in[i] = float32(w)
		}
		f.neurons[j] = n
	}
	return f, nil
}

// Logit returns the output for the features x (features.Set.Floats).
func (f *Float) Logit(x []float32) float32 {
	var sum float32
	for j := range f.neurons {
		n := &f.neurons[j]
		h := n.bias
		for i, w := range n.in {
			h += w * x[i]
		}
		sum += n.out * max(h, 0)
	}
	return f.bias + sum
}

// Migrate reports whether a logit of this network means "migrate".
func (f *Float) Migrate(logit float32) bool { return logit >= f.cut }
