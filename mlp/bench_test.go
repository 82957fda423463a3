// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math/rand/v2"
	"testing"

	"mllb/features"
)

// naive is the network as the original kernel code has it: matrices of int32,
// a triple loop, and one rounding shift per product (so its bits differ).
type naive struct{ w1, b1, w2, b2, hidden, out matrix }

type matrix struct {
	rows, cols int
	v          []int32
}

func newMatrix(rows, cols int) matrix { return matrix{rows, cols, make([]int32, rows*cols)} }

func multiply(a, b, out *matrix) {
	for i := range a.rows {
		for j := range b.cols {
			sum := int32(0)
			for k := range a.cols {
				sum += int32((int64(a.v[i*a.cols+k])*int64(b.v[k*b.cols+j]) + half) >> features.FracBits)
			}
			out.v[i*out.cols+j] = sum
		}
	}
}

func add(a, b *matrix) {
	for i := range a.v {
		a.v[i] += b.v[i]
	}
}

func relu(a *matrix) {
	for i := range a.v {
		if a.v[i] < 0 {
			a.v[i] = 0
		}
	}
}

func newNaive(q *Quantised) *naive {
	n, h := len(q.Set.Features), len(q.Weights[0])
	m := &naive{newMatrix(n, h), matrix{1, h, q.Biases[0]}, matrix{h, 1, q.Weights[1][0]}, matrix{1, 1, q.Biases[1]}, newMatrix(1, h), newMatrix(1, 1)}
	for j, row := range q.Weights[0] {
		for i, w := range row {
			m.w1.v[i*h+j] = w
		}
	}
	return m
}

func (m *naive) logit(q []int32) int32 {
	x := matrix{1, len(q), q}
	multiply(&x, &m.w1, &m.hidden)
	add(&m.hidden, &m.b1)
	relu(&m.hidden)
	multiply(&m.hidden, &m.w2, &m.out)
	add(&m.out, &m.b2)
	return m.out.v[0]
}

// randomModel has weights of a trained model's size.
func randomModel(rng *rand.Rand, set *features.Set, hidden int) *Model {
	m := NewModel(set, hidden)
	for l := range m.Weights {
		for j, row := range m.Weights[l] {
			for i := range row {
				row[i] = rng.NormFloat64()
			}
			m.Biases[l][j] = rng.NormFloat64()
		}
	}
	return m
}

const variety = 1024 // inputs, more than a branch predictor learns

// benchmark calls run for each set with a model and a variety of inputs.
func benchmark(b *testing.B, run func(b *testing.B, m *Model, vs []features.Vector, qs [][]int32, xs [][]float32)) {
	for _, name := range []string{"paper15", "locality17"} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			set, err := features.Lookup(name)
			if err != nil {
				b.Fatal(err)
			}
			m := randomModel(rng, set, 10)
			vs, qs, xs := make([]features.Vector, variety), make([][]int32, variety), make([][]float32, variety)
			for i := range vs {
				vs[i] = randomVector(rng, set)
				qs[i], xs[i] = make([]int32, len(set.Features)), make([]float32, len(set.Features))
				set.Unpack(qs[i], &vs[i])
				for k, q := range qs[i] {
					xs[i][k] = float32(features.ToFloat(q))
				}
			}
			run(b, m, vs, qs, xs)
		})
	}
}

var sink int64

func BenchmarkFixed(b *testing.B) {
	benchmark(b, func(b *testing.B, m *Model, vs []features.Vector, _ [][]int32, _ [][]float32) {
		f, err := NewFixed(m)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; b.Loop(); i++ {
			sink += int64(f.Logit(&vs[i%variety]))
		}
	})
}

func BenchmarkFloat(b *testing.B) {
	benchmark(b, func(b *testing.B, m *Model, _ []features.Vector, _ [][]int32, xs [][]float32) {
		f, err := NewFloat(m)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; b.Loop(); i++ {
			sink += int64(f.Logit(xs[i%variety]))
		}
	})
}

func BenchmarkNaive(b *testing.B) {
	benchmark(b, func(b *testing.B, m *Model, _ []features.Vector, qs [][]int32, _ [][]float32) {
		q, err := m.Quantise()
		if err != nil {
			b.Fatal(err)
		}
		n := newNaive(q)
		for i := 0; b.Loop(); i++ {
			sink += int64(n.logit(qs[i%variety]))
		}
	})
}
