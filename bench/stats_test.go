// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"mllb/internal/number"

	"pgregory.net/rapid"
)

func near(a number.Num, b float64) bool { return math.Abs(float64(a)-b) < 1e-9 }

// Of 20 values the interval of the median at 95 % is from the 6th to the 15th
// (the tails of a binomial of 20: 2 x 0.0207).
func TestEstimate(t *testing.T) {
	var values []float64
	for i := range 20 {
		values = append(values, float64((7*i)%20+1)) // 1..20, out of order
	}
	e := estimate(values)
	if e.N != 20 || !near(e.Median, 10.5) || !near(e.Lo, 6) || !near(e.Hi, 15) {
		t.Errorf("%+v", e)
	}
	if values[1] != 8 {
		t.Error("the values were sorted in place: their order is that of the runs")
	}
	if e := estimate([]float64{1, 2, 3, 4, 5}); e.Lo.Known() || e.Hi.Known() || !near(e.Median, 3) {
		t.Errorf("five runs have an interval: %+v", e)
	}
	if e := estimate(nil); e.N != 0 || e.Median.Known() {
		t.Errorf("no runs: %+v", e)
	}
}

// critical against the tables of Mann and Whitney (two-sided, 0.05 and 0.01), as
// every textbook has them.
func TestCritical(t *testing.T) {
	for _, tt := range []struct {
		n, m  int
		level float64
		want  int
		ok    bool
	}{
		{3, 3, 0.05, 0, false}, {4, 4, 0.05, 0, true}, {5, 5, 0.05, 2, true}, {8, 8, 0.05, 13, true}, {10, 10, 0.05, 23, true},
		{20, 20, 0.05, 127, true}, {10, 20, 0.05, 55, true}, {20, 10, 0.05, 55, true},
		{5, 5, 0.01, 0, true}, {10, 10, 0.01, 16, true}, {20, 20, 0.01, 105, true},
	} {
		got, ok := critical(tt.n, tt.m, tt.level)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%d and %d at %v: %d, %v; want %d, %v", tt.n, tt.m, tt.level, got, ok, tt.want, tt.ok)
		}
	}
	if n := runsNeeded(0.05); n != 4 {
		t.Errorf("%d runs needed at 0.05", n)
	}
	// 2/C(2n,n) <= 0.05/12 first for n = 6: 2/924 = 0.0022.
	if n := runsNeeded(0.05 / 12); n != 6 {
		t.Errorf("%d runs needed at 0.05/12", n)
	}
}

// Beyond 50 runs the normal approximation takes over without a jump.
func TestCriticalLarge(t *testing.T) {
	exact, _ := critical(50, 50, 0.05)
	next, _ := critical(51, 51, 0.05)
	if d := next - exact; d < 38 || d > 50 { // its slope there is 44
		t.Errorf("critical value %d for 50 runs, %d for 51", exact, next)
	}
}

// By hand: two of 4 runs each, all of one above all of the other: p = 2/C(8,4).
func TestCompareByHand(t *testing.T) {
	c := compare([]float64{10, 11, 12, 13}, []float64{20, 22, 24, 26})
	if !near(c.P, 2.0/70) || !c.above {
		t.Errorf("p %v, above %v", c.P, c.above)
	}
	// All 16 quotients; with four runs each the interval is the whole of them.
	q := []float64{20. / 13, 20. / 12, 22. / 13, 20. / 11, 22. / 12, 24. / 13, 20. / 10, 22. / 11, 24. / 12, 26. / 13, 26. / 12, 24. / 11, 22. / 10, 26. / 11, 24. / 10, 26. / 10}
	slices.Sort(q)
	if !near(c.Ratio, (q[7]+q[8])/2) || !near(c.Lo, q[0]) || !near(c.Hi, q[15]) {
		t.Errorf("ratio %v (%v..%v), want %v (%v..%v)", c.Ratio, c.Lo, c.Hi, (q[7]+q[8])/2, q[0], q[15])
	}
	if c := compare([]float64{0, 1, 2, 3}, []float64{4, 5, 6, 7}); c.Ratio.Known() || !c.P.Known() || !c.above {
		t.Errorf("a run of 0 has no ratio, but a rank: %+v", c)
	}
	if c := compare([]float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}); c.P != 1 || c.Ratio != 1 {
		t.Errorf("all the same: %+v", c)
	}
	if c := compare(nil, []float64{1}); c.P.Known() || c.Verdict != TooFew {
		t.Errorf("no runs of stock: %+v", c)
	}
}

// The p value with ties, against all ways to deal the values to two samples.
func TestCompareEnumerated(t *testing.T) {
	a, b := []float64{1, 2, 3, 4, 5}, []float64{3, 6, 7, 8, 9}
	all := slices.Concat(a, b)
	u := func(mask uint) (u float64) { // of the values in the mask, below the others
		for i, x := range all {
			for j, y := range all {
				if mask>>i&1 == 1 && mask>>j&1 == 0 {
					u += []float64{1, 0.5, 0}[1+cmp.Compare(x, y)]
				}
			}
		}
		return min(u, 25-u)
	}
	observed, extreme, ways := u(1<<5-1), 0, 0
	for mask := range uint(1 << 10) {
		if bits.OnesCount(mask) == 5 {
			ways++
			if u(mask) <= observed {
				extreme++
			}
		}
	}
	if c := compare(a, b); ways != 252 || !near(c.P, float64(extreme)/float64(ways)) {
		t.Errorf("p %v, want %d of %d", c.P, extreme, ways)
	}
}

// The interval of the ratio leaves 1 out exactly where the test says p < 0.05.
func TestIntervalIsTheTestsDual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		draw := func(n int, mean float64) (v []float64) {
			for range n {
				v = append(v, mean*(1+0.1*rng.Float64()))
			}
			return v
		}
		n, m := rapid.IntRange(4, 24).Draw(t, "n"), rapid.IntRange(4, 24).Draw(t, "m")
		c := compare(draw(n, 10), draw(m, 10*(1+0.1*rng.Float64())))
		if outside := c.Lo > 1 || c.Hi < 1; outside != (c.P <= 0.05) {
			t.Errorf("p %v, interval %v..%v", c.P, c.Lo, c.Hi)
		}
		if c.Lo > c.Ratio || c.Ratio > c.Hi {
			t.Errorf("ratio %v is not in %v..%v", c.Ratio, c.Lo, c.Hi)
		}
	})
}

// Holm's own steps, by hand: 0.01, 0.02, 0.03, 0.04 become 0.04, 0.06, 0.06, 0.06.
func TestHolm(t *testing.T) {
	var family []*Comparison
	for _, p := range []number.Num{0.03, 0.01, 0.04, 0.02, number.Unknown} {
		family = append(family, &Comparison{P: p, Holm: number.Unknown, Ratio: 2, n: 20, m: 20, above: true, Verdict: TooFew})
	}
	judge(family)
	for i, want := range []float64{0.06, 0.04, 0.06, 0.06} {
		if !near(family[i].Holm, want) {
			t.Errorf("p %v: %v, want %v", family[i].P, family[i].Holm, want)
		}
		if v := family[i].Verdict; (v == More) != (want < 0.05) {
			t.Errorf("p %v: %s", family[i].P, v)
		}
	}
	if family[4].Holm.Known() || family[4].Verdict != TooFew {
		t.Errorf("what was not compared: %+v", family[4])
	}
	few := &Comparison{P: 0.1, n: 3, m: 3}
	less := &Comparison{P: 0.0001, n: 20, m: 20}
	judge([]*Comparison{few, less})
	if less.Verdict != Less {
		t.Errorf("%+v", less)
	}
	few.Verdict = TooFew
	if judge([]*Comparison{few}); few.Verdict != TooFew {
		t.Errorf("three runs each are enough for %q", few.Verdict)
	}
}

// A family of comparisons of nothing with nothing is wrong in about one of 20.
func TestFamilyError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	wrong := 0
	const trials = 400
	for range trials {
		sample := func() (v []float64) {
			for range 20 {
				v = append(v, 10+rng.NormFloat64())
			}
			return v
		}
		stock := sample()
		var family []*Comparison
		for range 5 {
			c := compare(stock, sample())
			family = append(family, &c)
		}
		judge(family)
		if slices.ContainsFunc(family, func(c *Comparison) bool { return c.Verdict != NoDifference }) {
			wrong++
		}
	}
	// 20 are expected, or fewer, since all share a stock; 36 is beyond 3.6 sigma.
	if wrong > 36 {
		t.Errorf("%d of %d families of equals have a difference", wrong, trials)
	}
}

// What is called detectable is detected: arms that are slower by that share are
// told apart in about 80 % of the trials, and by half of it in clearly fewer.
func TestSmallest(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	normal := func() float64 { return 10 + 0.2*rng.NormFloat64() }
	var stock []float64
	for i := range 20 { // quantiles: the most typical sample
		stock = append(stock, 10+0.2*math.Sqrt2*math.Erfinv((2*float64(i)+1)/20-1))
	}
	x := smallest(stock, 20, 0.05, 1)
	// The noncentral t of 20 runs each finds 0.91 sigma in 80 %: 1.8 %; ranks need a
	// little more.
	if x < 0.015 || x > 0.022 {
		t.Fatalf("detectable: %v", x)
	}
	found := func(share number.Num) float64 {
		n := 0
		for range 500 {
			a, b := make([]float64, 20), make([]float64, 20)
			for i := range a {
				a[i], b[i] = normal(), normal()*(1+float64(share))
			}
			if compare(a, b).P < 0.05 {
				n++
			}
		}
		return float64(n) / 500
	}
	if f := found(x); f < 0.70 || f > 0.90 {
		t.Errorf("a difference of %v is found in %v of the trials", x, f)
	}
	if f := found(x / 2); f > 0.5 {
		t.Errorf("half of it is found in %v", f)
	}
	if smallest(stock[:3], 3, 0.05, 1).Known() {
		t.Error("three runs could have shown something")
	}
	if smallest([]float64{0, 1, 2, 3, 4, 5}, 6, 0.05, 1).Known() {
		t.Error("a share of 0")
	}
	if got, again := smallest(stock, 20, 0.01, 1), smallest(stock, 20, 0.01, 1); got != again || got <= x {
		t.Errorf("at 0.01: %v, %v; at 0.05: %v", got, again, x)
	}
}

func TestGeoMean(t *testing.T) {
	sample := func(mean float64) (v []float64) {
		for i := range 12 {
			v = append(v, mean*(1+0.001*float64(i)))
		}
		return v
	}
	g := geoMean("x", []pair{{sample(10), sample(20)}, {sample(5), sample(2.5)}, {nil, sample(1)}}, typical, 1)
	if g.Workloads != 2 || math.Abs(float64(g.Ratio)-1) > 1e-9 || !(g.Lo < 1 && g.Hi > 1) || g.Hi-g.Lo > 0.01 {
		t.Errorf("twice and half as long: %+v", g)
	}
	g = geoMean("x", []pair{{sample(1), sample(8)}, {sample(1), sample(1)}, {sample(1), sample(1)}}, typical, 1)
	if math.Abs(float64(g.Ratio)-2) > 1e-9 {
		t.Errorf("the cube root of 8: %+v", g)
	}
	if g := geoMean("x", []pair{{sample(10)[:3], sample(20)[:3]}}, typical, 1); g.Lo.Known() || math.Abs(float64(g.Ratio)-2) > 0.01 {
		t.Errorf("three runs have no interval: %+v", g)
	}
	if g := geoMean("x", nil, typical, 1); g.Ratio.Known() {
		t.Errorf("nothing: %+v", g)
	}
}

// The slowest tenth tells arms apart whose typical runs are the same.
func TestSlowest(t *testing.T) {
	var stock, arm []float64
	for i := range 20 {
		stock, arm = append(stock, 10+float64(i%10)/100), append(arm, 10+float64(i%10)/100)
	}
	stock[3], stock[7], stock[11] = 30, 28, 29
	if p := p90([]float64{9, 1, 8, 2, 10, 3, 7, 4, 6, 5, 11}); p < 10 || p > 11 {
		t.Errorf("the 90th percentile of 1..11 is %v", p)
	}
	s := slowest("x", pair{stock, arm}, 1)
	if s.Ratio > 0.4 || s.Ratio < 0.3 || s.Lo > s.Ratio || s.Hi < s.Ratio || s.Value > 10.1 {
		t.Errorf("slowest tenth %+v", s)
	}
	if c := compare(stock, arm); c.Ratio < 0.99 {
		t.Errorf("typical ratio %v", c.Ratio)
	}
	if s := slowest("x", pair{stock, arm[:9]}, 1); s.Value.Known() || s.Ratio.Known() {
		t.Errorf("of nine runs: %+v", s)
	}
	if s := slowest("x", pair{stock[:9], arm}, 1); !s.Value.Known() || s.Ratio.Known() {
		t.Errorf("against nine runs: %+v", s)
	}
	if s := slowest("x", pair{}, 1); s.Value.Known() {
		t.Errorf("of none: %+v", s)
	}
}
