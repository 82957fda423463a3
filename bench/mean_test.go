// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// humped draws n runs of about 10 s, of which a share takes twice as long.
func humped(rng *rand.Rand, n int, slow float64) (v []float64) {
	for range n {
		x := 10 * math.Exp(0.02*rng.NormFloat64())
		if rng.Float64() < slow {
			x *= 2
		}
		v = append(v, x)
	}
	return v
}

// The mean tells apart what the median of the quotients does not: four of twelve
// runs of stock are twice as slow, and one of the arm's.
func TestMean(t *testing.T) {
	fast := []float64{10, 10.1, 9.9, 10.2, 9.8, 10, 10.1, 9.9}
	stock := slices.Concat(fast, []float64{20, 20.2, 19.8, 20})
	arm := slices.Concat(fast, []float64{10, 10.1, 9.9, 20})
	m := mean("x", pair{stock, arm}, 1)
	if want := math.Pow(2, -3.0/12); math.Abs(float64(m.Ratio)-want) > 0.01 || !(m.Lo < m.Ratio && m.Ratio < m.Hi && m.Hi <= 1.1) {
		t.Errorf("%+v, want a ratio of %.3f", m, want)
	}
	if math.Abs(float64(m.Value)-10*math.Pow(2, 1.0/12)) > 0.1 {
		t.Errorf("the mean is %v", m.Value)
	}
	if c := compare(stock, arm); c.Ratio < 0.95 {
		t.Errorf("the typical ratio is %v", c.Ratio)
	}
	if m := mean("x", pair{stock, arm[:5]}, 1); m.Lo.Known() || !m.Ratio.Known() {
		t.Errorf("five runs have an interval: %+v", m)
	}
	for _, p := range []pair{{}, {stock, nil}, {nil, arm}, {stock, []float64{0, 1, 2, 3, 4, 5}}} {
		if m := mean("x", p, 1); m.Ratio.Known() || m.Lo.Known() {
			t.Errorf("%v: %+v", p, m)
		}
	}
}

// The interval of the mean has the true ratio in it in about 95 % of samples with
// two humps, of few runs too.
func TestMeanCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{8, 12} {
		const trials = 400
		covered := 0
		for i := range trials {
			m := mean("x", pair{humped(rng, n, 1.0/3), humped(rng, n, 1.0/3)}, uint64(i))
			if m.Lo <= 1 && 1 <= m.Hi {
				covered++
			}
		}
		t.Logf("%d runs: %d of %d", n, covered, trials)
		// 380 are expected; 4.4 is one sigma.
		if covered < 366 || covered > 396 {
			t.Errorf("%d runs: %d of %d intervals have the true ratio in them", n, covered, trials)
		}
	}
}
