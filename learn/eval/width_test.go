// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/mlp"
)

func fractions(set *features.Set, d *features.Decision) (ratios []fraction) {
	for i := range set.Features {
		if f := &set.Features[i]; f.Kind == features.Ratio {
			num, den := f.Value(d)
			ratios = append(ratios, fraction{num, den})
		}
	}
	return ratios
}

// With 11 fractional bits the arithmetic is that of mlp and features.
func TestWidth11IsFixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, d := genModel.Draw(t, "model"), genDecision.Draw(t, "decision")
		fixed, err := mlp.NewFixed(m)
		if err != nil {
			t.Fatal(err)
		}
		var v features.Vector
		m.Set.Fill(&v, &d)
		w := newWidth(m, features.FracBits)
		if w.problem != nil {
			t.Fatal(w.problem)
		}
		got, want := w.logit(v.Bits, fractions(m.Set, &d)), fixed.Logit(&v)
		if got != int64(want) || (got >= w.threshold) != fixed.Migrate(want) {
			t.Fatalf("logit %d, mlp says %d", got, want)
		}
	})
}

func TestFromRatio11IsFeatures(t *testing.T) {
	number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-5000, 5000), rapid.SampledFrom([]int64{0, 1, 1 << 51, 1<<51 - 1, math.MaxInt64, math.MinInt64}))
	rapid.Check(t, func(t *rapid.T) {
		r := fraction{number.Draw(t, "num"), number.Draw(t, "den")}
		if got, want := fromRatio(r, features.FracBits), features.FromRatio(r.num, r.den); got != int64(want) {
			t.Fatalf("%d/%d: %d, features says %d", r.num, r.den, got, want)
		}
	})
}

// At every width the network is what exact integers give for rounded inputs.
func TestWidthIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, d := genModel.Draw(t, "model"), genDecision.Draw(t, "decision")
		bits := uint(rapid.IntRange(minWidth, maxWidth).Draw(t, "bits"))
		w := newWidth(m, bits)
		if w.problem != nil {
			t.Fatal(w.problem)
		}
		var v features.Vector
		m.Set.Fill(&v, &d)
		if got, want := w.logit(v.Bits, fractions(m.Set, &d)), reference(m, &d, bits); got != want {
			t.Fatalf("%d bits: logit %d, want %d", bits, got, want)
		}
	})
}

// reference is the network as a plain loop over exact integers.
func reference(m *mlp.Model, d *features.Decision, bits uint) int64 {
	q := func(x float64) *big.Int { return big.NewInt(int64(math.Round(x * float64(int64(1)<<bits)))) }
	layer := func(weights []float64, bias float64, inputs []*big.Int, relu bool) *big.Int {
		acc := new(big.Int).Lsh(q(bias), bits)
		acc.Add(acc, big.NewInt(1<<(bits-1)))
		for i, x := range inputs {
			acc.Add(acc, new(big.Int).Mul(q(weights[i]), x))
		}
		acc.Rsh(acc, bits) // rounds down, as >> does
		low := int64(math.MinInt32)
		if relu {
			low = 0
		}
		if acc.Cmp(big.NewInt(low)) < 0 {
			return big.NewInt(low)
		}
		if acc.Cmp(big.NewInt(math.MaxInt32)) > 0 {
			return big.NewInt(math.MaxInt32)
		}
		return acc
	}
	var inputs, hidden []*big.Int
	for i := range m.Set.Features {
		num, den := m.Set.Features[i].Value(d)
		inputs = append(inputs, big.NewInt(fromRatio(fraction{num, den}, bits)))
	}
	for j, row := range m.Weights[0] {
		hidden = append(hidden, layer(row, m.Biases[0][j], inputs, true))
	}
	return layer(m.Weights[1][0], m.Biases[1][0], hidden, false).Int64()
}

// Small quotients are exact, rounded half away from zero; large ones saturate.
func TestFromRatio(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := uint(rapid.IntRange(minWidth, maxWidth).Draw(t, "bits"))
		r := fraction{rapid.Int64Range(-1<<41, 1<<41).Draw(t, "num"), rapid.Int64Range(1, 1<<41).Draw(t, "den")}
		exact := big.NewRat(r.num, r.den)
		exact.Mul(exact, new(big.Rat).SetInt64(1<<bits))
		half := big.NewRat(1, 2)
		if r.num < 0 {
			half.Neg(half)
		}
		exact.Add(exact, half)
		want := new(big.Int).Quo(exact.Num(), exact.Denom()) // towards zero
		limited := max(min(want.Int64(), math.MaxInt32), math.MinInt32)
		if !want.IsInt64() {
			limited = math.MaxInt32
		}
		if got := fromRatio(r, bits); got != limited {
			t.Fatalf("%d/%d with %d bits: %d, want %d", r.num, r.den, bits, got, limited)
		}
	})
	for _, bits := range []uint{minWidth, 11, maxWidth} {
		half := int64(2) << bits // its inverse is half of the last bit
		for r, want := range map[fraction]int64{{5, 0}: 0, {1, half}: 1, {-1, half}: -1, {3, half}: 2, {-3, half}: -2, {1, half + 1}: 0} {
			if got := fromRatio(r, bits); got != want {
				t.Errorf("%d/%d with %d bits: %d, want %d", r.num, r.den, bits, got, want)
			}
		}
	}
}

// What does not fit more fractional bits is said, not computed.
func TestWidthSaysWhatDoesNotFit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(m *mlp.Model)
		want   string
	}{
		{"a weight", func(m *mlp.Model) { m.Weights[0][0][0] = 3000 }, "weights[0]: 3000 does not fit"},
		{"a bias", func(m *mlp.Model) { m.Biases[1][0] = -3000 }, "biases[1]: -3000 does not fit"},
		{"a sum", func(m *mlp.Model) {
			for i := range m.Weights[0][0] {
				m.Weights[0][0][i] = 2000
			}
		}, "could overflow the accumulator"},
	} {
		m := builtIn(t)
		tc.change(m)
		if w := newWidth(m, 11); w.problem != nil {
			t.Errorf("%s: 11 bits: %v", tc.name, w.problem)
		}
		w := newWidth(m, 20)
		if w.problem == nil || !strings.Contains(w.problem.Error(), tc.want) {
			t.Errorf("%s: 20 bits: %v, want %q", tc.name, w.problem, tc.want)
			continue
		}
		w.add(0, nil, mlp.Stay, mlp.Stay, 0)
		if r := w.result(); r.Problem == "" || r.Accuracy.Known() || r.LargestError.Known() {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

// At 11 bits what fits is what mlp takes.
func TestWidth11TakesWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := mlp.NewModel(&features.Sets()[0], 1)
		weight := rapid.Float64Range(-500_000, 500_000)
		for i := range m.Weights[0][0] {
			m.Weights[0][0][i] = weight.Draw(t, "w")
		}
		m.Biases[0][0], m.Biases[1][0] = weight.Draw(t, "b"), rapid.Float64Range(-1<<21, 1<<21).Draw(t, "b")
		err, problem := m.Validate(), newWidth(m, chosenBits).problem
		if (err == nil) != (problem == nil) {
			t.Fatalf("mlp says %v, width %v", err, problem)
		}
	})
	// Both sides, whatever was drawn. A sum may be less than 2^21.
	for last, want := range map[float64]bool{1: true, 2: false, 1 << 20: false} {
		m := mlp.NewModel(&features.Sets()[0], 1)
		m.Weights[0][0][0], m.Weights[0][0][1], m.Weights[0][0][2] = 1<<20-1, 1<<20-1, min(last, 1<<20-1)
		if err, problem := m.Validate(), newWidth(m, chosenBits).problem; (err == nil) != want || (problem == nil) != want {
			t.Errorf("with %g: mlp says %v, width %v, want fitting %v", last, err, problem, want)
		}
	}
}
