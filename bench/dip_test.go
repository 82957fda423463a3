// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func sample(n int, draw func() float64) (v []float64) {
	for range n {
		v = append(v, draw())
	}
	return v
}

// By hand: evenly spaced values have the least dip that there is, two points that of
// the smaller of them, and the order of magnitude of the gap is no matter.
func TestDipByHand(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 1.0 / 20},
		{[]float64{5, 5, 5, 5, 5, 5}, 1.0 / 12},
		{[]float64{1, 1, 1, 1, 2, 2, 2, 2}, 4.0 / 16},
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2}, 4.0 / 24},
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1, 90, 90, 90, 90}, 4.0 / 24},
		{[]float64{1, 1, 2, 2, 3, 3, 4, 4}, 2.0 / 16},
	} {
		if got := dip(tt.values); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", tt.values, got, tt.want)
		}
	}
}

// The critical values are those that were published for uniform samples (the table
// qDiptab of Maechler's R package diptest, of 1,000,001 samples of each size).
func TestDipCritical(t *testing.T) {
	for _, tt := range []struct {
		n          int
		q          float64 // quantile
		want, part float64
	}{
		{10, 0.5, 0.0978, 0.02}, {10, 0.95, 0.1396, 0.03}, {10, 0.99, 0.1597, 0.05},
		{20, 0.5, 0.0733, 0.02}, {20, 0.95, 0.1051, 0.03}, {20, 0.99, 0.1206, 0.05},
		{50, 0.5, 0.0489, 0.02}, {50, 0.95, 0.0703, 0.03}, {50, 0.99, 0.0812, 0.05},
	} {
		dipP(tt.n, 0)
		known, _ := uniformDips.Load(tt.n)
		dips := known.([]float64)
		if got := dips[int(tt.q*float64(len(dips)))]; math.Abs(got-tt.want) > tt.part*tt.want {
			t.Errorf("%d values, quantile %v: %.4f, want %.4f", tt.n, tt.q, got, tt.want)
		}
	}
	if p, want := dipP(800, 0.0368/2), 0.05; math.Abs(p-want) > 0.025 {
		t.Errorf("beyond the simulated sizes, p is %v, want %v", p, want)
	}
}

// How often samples of one hump are taken for two, and samples of two are recognized.
func TestTwoHumps(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, tt := range []struct {
		name      string
		draw      func() float64
		low, high [2]int // of 100 that are taken for two humps: of 12 and of 24 runs
	}{
		{"uniform, the hardest", func() float64 { return 10 + 10*rng.Float64() }, [2]int{5, 5}, [2]int{15, 15}},
		{"normal", func() float64 { return 10 + rng.NormFloat64() }, [2]int{0, 0}, [2]int{7, 4}},
		{"log-normal, a long tail", func() float64 { return 10 * math.Exp(0.5*rng.NormFloat64()) }, [2]int{0, 0}, [2]int{7, 4}},
		{"exponential above a minimum", func() float64 { return 10 + 3*rng.ExpFloat64() }, [2]int{0, 0}, [2]int{8, 4}},
		{"a third twice as slow", func() float64 { return humped(rng, 1, 1.0/3)[0] }, [2]int{61, 91}, [2]int{71, 98}},
		{"half twice as slow", func() float64 { return humped(rng, 1, 1.0/2)[0] }, [2]int{87, 98}, [2]int{95, 100}},
	} {
		for k, n := range []int{12, 24} {
			const trials = 1000
			found := 0
			for range trials {
				if twoHumps(sample(n, tt.draw)) != nil {
					found++
				}
			}
			share := float64(found) * 100 / trials
			t.Logf("%s, %d runs: %.1f %%", tt.name, n, share)
			if share < float64(tt.low[k]) || share > float64(tt.high[k]) {
				t.Errorf("%s, %d runs: %.1f %% are taken for two humps, want %d..%d", tt.name, n, share, tt.low[k], tt.high[k])
			}
		}
	}
}

func TestHumpsAre(t *testing.T) {
	fast := []float64{10, 10.1, 9.9, 10.2, 9.8, 10, 10.1, 9.9}
	h := twoHumps(slices.Concat([]float64{20, 20.2}, fast, []float64{19.8, 20}))
	if h == nil || h.Low.Runs != 8 || h.High.Runs != 4 || !near(h.Low.Median, 10) || !near(h.High.Median, 20) || h.P > 0.02 {
		t.Errorf("%+v", h)
	}
	alike := sample(12, func() float64 { return 10 })
	for i := range 5 {
		alike[i] = 10.2
	}
	for name, values := range map[string][]float64{
		"2 % apart":       alike,
		"seven runs":      {10, 10, 10, 10, 20, 20, 20},
		"one is slow":     slices.Concat(fast, []float64{20}),
		"a run of 0":      {0, 0, 0, 0, 20, 20, 20, 20, 20},
		"all of the same": {1, 1, 1, 1, 1, 1, 1, 1},
	} {
		if h := twoHumps(values); h != nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func TestOutliers(t *testing.T) {
	fast := []float64{10, 10.1, 9.9, 10.2, 9.8, 10, 10.1, 9.9}
	rounds := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if found := outliers(slices.Concat(fast, []float64{20, 5}), rounds); len(found) != 2 || found[0] != (Outlier{9, 20}) || found[1] != (Outlier{10, 5}) {
		t.Errorf("%+v", found)
	}
	if found := outliers(slices.Concat(fast, []float64{10.4}), rounds); len(found) != 0 {
		t.Errorf("4 %% above the median: %+v", found)
	}
	if found := outliers([]float64{1, 1, 1, 1, 9}, rounds); len(found) != 0 {
		t.Errorf("of five runs: %+v", found)
	}
	rng := rand.New(rand.NewPCG(13, 14))
	named := 0
	for range 1000 {
		if len(outliers(sample(10, func() float64 { return 10 + rng.NormFloat64() }), rounds)) > 0 {
			named++
		}
	}
	t.Logf("normal, 10 runs: %.1f %%", float64(named)/10)
	if named > 60 {
		t.Errorf("%d of 1000 samples from a normal distribution have outliers", named)
	}
}
