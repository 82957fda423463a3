// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"math"
	"math/rand/v2"
	"testing"

	"mllb/features"
)

// FuzzFixed holds the integer network against the slow reference bit for bit,
// and against real numbers within the bound that rounding allows.
func FuzzFixed(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(seed), 1.0, 4.0)
	}
	f.Add(uint64(9), uint8(9), 300.0, 1e6)
	f.Fuzz(func(t *testing.T, seed uint64, shape uint8, weightScale, inputScale float64) {
		rng := rand.New(rand.NewPCG(seed, 5))
		set := &features.Sets()[int(shape)%len(features.Sets())]
		m := randomModel(rng, set, 1+int(shape)%16)
		for _, row := range m.Weights[0] {
			for i := range row {
				row[i] *= weightScale
			}
		}
		q, err := m.Quantise()
		if err != nil {
			t.Skip("refused:", err)
		}
		in := make([]int32, len(set.Features))
		v := randomVector(rng, set)
		set.Unpack(in, &v)
		for i, feature := range set.Features {
			if feature.Kind == features.Ratio {
				in[i] = int32(min(max(float64(in[i])*inputScale, math.MinInt32), math.MaxInt32))
			}
		}
		if err := set.Pack(&v, in); err != nil {
			t.Fatal(err)
		}
		got := q.Fixed().Logit(&v)
		if want := referenceCase(q, in).Output; got != want {
			t.Fatalf("logit %d, reference %d", got, want)
		}
		want, bound := bounded(m, in)
		if d := math.Abs(features.ToFloat(got) - want); !(d <= bound) {
			t.Fatalf("logit %g, real %g: apart by %g, more than %g", features.ToFloat(got), want, d, bound)
		}
	})
}

// bounded evaluates m at the Q21.11 inputs in real numbers, saturating where
// the integer network does, and bounds how far that one may be off. Rounding a
// weight, a bias or a sum moves it by at most u = 2^-12, and neither ReLU nor
// saturation makes a difference larger:
//
//	e_hidden <= u*(sum|x| + 2),  e_out <= sum(|w|*e_hidden + u*(|h| + e_hidden)) + 2u
func bounded(m *Model, in []int32) (logit, bound float64) {
	const u = 0.5 / features.One
	const low, high = math.MinInt32 / float64(features.One), math.MaxInt32 / float64(features.One)
	logit, bound = m.Biases[1][0], 2*u
	for j, row := range m.Weights[0] {
		sum, e := m.Biases[0][j], 2*u
		for i, w := range row {
			x := features.ToFloat(in[i])
			sum += w * x
			e += u * math.Abs(x)
		}
		h := min(max(sum, 0), high)
		w := m.Weights[1][0][j]
		logit += w * h
		bound += math.Abs(w)*e + u*(h+e)
	}
	// And the reference's own rounding in float64.
	return min(max(logit, low), high), bound*(1+1e-9) + 1e-9
}

// TestFloatAgrees bounds the float network by its own precision, so that the
// two inferences of one model are known to be one network.
func TestFloatAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	for _, hidden := range []int{1, 9, 10, 11, 20, 64} {
		for s := range features.Sets() {
			set := &features.Sets()[s]
			m := randomModel(rng, set, hidden)
			f, err := NewFloat(m)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for _, in := range goldenInputs(rng, set, 40)[20:] {
				x := make([]float32, len(in))
				for i, q := range in {
					x[i] = float32(features.ToFloat(q))
				}
				want, _ := bounded(m, in)
				worst = max(worst, math.Abs(float64(f.Logit(x))-want)/(1+math.Abs(want)))
			}
			if worst > 1e-4 {
				t.Errorf("%s, %d hidden: off by %g", set.Name, hidden, worst)
			}
		}
	}
}

func TestThreshold(t *testing.T) {
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		threshold float64
		cut       int32
	}{{0.5, 0}, {0.75, 2250}, {0.25, -2250}, {1e-300, -1414708}} {
		m := NewModel(set, 2)
		m.Threshold = c.threshold
		f, err := NewFixed(m)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Migrate(c.cut) || f.Migrate(c.cut-1) {
			t.Errorf("threshold %g: want the cut at %d, have %d", c.threshold, c.cut, f.threshold)
		}
	}
}

func TestLogitDoesNotAllocate(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	fixed, _ := NewFixed(m)
	float, _ := NewFloat(m)
	x := make([]float32, len(m.Set.Features))
	var v features.Vector
	if n := testing.AllocsPerRun(100, func() { sink += int64(fixed.Logit(&v)); float.Logit(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
