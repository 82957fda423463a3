// SPDX-License-Identifier: Apache-2.0

package features

import (
	"math"
	"math/big"
	"testing"
)

func TestFromRatio(t *testing.T) {
	const maxI, minI = math.MaxInt32, math.MinInt32
	for _, c := range []struct {
		name     string
		num, den int64
		want     int32
	}{
		{"divisor 0", 5, 0, 0},
		{"zero", 0, 7, 0},
		{"one", 1, 1, One},
		{"half rounds away from zero", 1, 4096, 1},
		{"half rounds away from zero, negative", -1, 4096, -1},
		{"negative divisor", 1, -4096, -1},
		{"both negative", -3, -2, 3072},
		{"below half", 1, 4097, 0},
		// The original computed x<<11 in int32 and then divided: 2^21 faults
		// became 0 and were divided by.
		{"paper: total of 2^21 faults", 1 << 21, 1 << 21, One},
		{"paper: half of 2^21 faults lost", -(1 << 20), 1 << 21, -1024},
		{"paper: total of 2^21 as a numerator", 1 << 21, 1, maxI},
		{"paper: load of 2^20 and more", 1 << 20, 1000, 2147484},
		{"paper: load of 2^32", 1 << 32, 1000, maxI},
		{"largest exact", 1<<20 - 1, 1, (1<<20 - 1) << FracBits},
		{"saturates", 1 << 20, 1, maxI},
		{"smallest exact", -(1 << 20), 1, minI},
		{"saturates below", -(1 << 20) - 1, 1, minI},
		{"wide, equal", math.MaxInt64, math.MaxInt64, One},
		{"wide, smallest int64", math.MinInt64, math.MaxInt64, -One},
		{"wide over narrow", math.MaxInt64, 3, maxI},
		{"wide over narrow, negative", math.MinInt64, 3, minI},
		{"narrow over wide", 3, math.MaxInt64, 0},
		{"edge of wide", 1<<51 - 1, 1<<51 - 1, One},
		{"edge of wide, shifted", 1 << 51, 1 << 51, One},
	} {
		if got := FromRatio(c.num, c.den); got != c.want {
			t.Errorf("%s: FromRatio(%d, %d) = %d, want %d", c.name, c.num, c.den, got, c.want)
		}
	}
}

// exact is round-half-away(num*2048/den), not saturated.
func exact(num, den int64) *big.Int {
	n := new(big.Int).Lsh(new(big.Int).Abs(big.NewInt(num)), FracBits+1)
	d := new(big.Int).Lsh(new(big.Int).Abs(big.NewInt(den)), 1)
	n.Add(n, new(big.Int).Abs(big.NewInt(den)))
	q := n.Div(n, d)
	if (num < 0) != (den < 0) {
		q.Neg(q)
	}
	return q
}

func FuzzFromRatio(f *testing.F) {
	f.Add(int64(1), int64(3))
	f.Add(int64(math.MinInt64), int64(math.MinInt64))
	f.Add(int64(1<<51), int64(1<<31+7))
	f.Fuzz(func(t *testing.T, num, den int64) {
		got := FromRatio(num, den)
		if den == 0 {
			if got != 0 {
				t.Fatalf("FromRatio(%d, 0) = %d", num, got)
			}
			return
		}
		want := exact(num, den)
		narrow := magnitude(num) < wideRatio && magnitude(den) < wideRatio
		tolerance := new(big.Int)
		if !narrow {
			tolerance.Rsh(tolerance.Abs(want), 17)
			tolerance.Add(tolerance, big.NewInt(1))
		}
		if lo := big.NewInt(math.MinInt32); want.Cmp(lo) < 0 {
			want = lo
		} else if hi := big.NewInt(math.MaxInt32); want.Cmp(hi) > 0 {
			want = hi
		}
		diff := new(big.Int).Sub(big.NewInt(int64(got)), want)
		if diff.Abs(diff).Cmp(tolerance) > 0 {
			t.Fatalf("FromRatio(%d, %d) = %d, want %v within %v", num, den, got, want, tolerance)
		}
	})
}

func TestFromFloat(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want int32
		ok   bool
	}{
		{0, 0, true},
		{0.5 / One, 1, true},
		{-0.5 / One, -1, true},
		{0.49999 / One, 0, true},
		{-1.5, -3072, true},
		{math.MaxInt32 / float64(One), math.MaxInt32, true},
		{-(1 << 20), math.MinInt32, true},
		{1 << 20, 0, false},
		{-(1 << 20) - 1, 0, false},
		{math.NaN(), 0, false},
		{math.Inf(1), 0, false},
		{math.Inf(-1), 0, false},
	} {
		got, err := FromFloat(c.x)
		if (err == nil) != c.ok || got != c.want && c.ok {
			t.Errorf("FromFloat(%g) = %d, %v; want %d, ok %v", c.x, got, err, c.want, c.ok)
		}
		if c.ok && math.Abs(ToFloat(got)-c.x) > 0.5/One {
			t.Errorf("ToFloat(%d) = %g, too far from %g", got, ToFloat(got), c.x)
		}
	}
}
