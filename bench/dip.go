// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// The dip of a sample is how far its distribution function is at least from any with
// one hump: one that bends upwards to the left of its mode and downwards to the right
// (Hartigan and Hartigan, The Dip Test of Unimodality, Annals of Statistics 13, 1985).
// It is found as there: by the greatest convex minorant and the least concave majorant
// of the steps in an interval, which shrinks until the two are no further apart than
// the steps are from them outside of it.

// stairs is an empirical distribution function: by value, how many are below it and how
// many are not above it.
type stairs struct{ x, below, upto []float64 }

func newStairs(sorted []float64) (s stairs) {
	for i, v := range sorted {
		if n := len(s.x); n == 0 || v > s.x[n-1] {
			s.x, s.below, s.upto = append(s.x, v), append(s.below, float64(i)), append(s.upto, 0)
		}
		s.upto[len(s.x)-1] = float64(i + 1)
	}
	return s
}

// bend is the hull of points from one index to another: the convex minorant, or with
// sign -1 the concave majorant, at each of them.
type bend struct {
	from, to int
	touches  []int // the points that are corners of it
	y        []float64
}

func newBend(x, y []float64, from, to int, sign float64) bend {
	b := bend{from: from, to: to, y: make([]float64, to-from+1)}
	for i := from; i <= to; i++ {
		for len(b.touches) > 1 {
			p, q := b.touches[len(b.touches)-2], b.touches[len(b.touches)-1]
			if sign*((y[q]-y[p])*(x[i]-x[q])-(y[i]-y[q])*(x[q]-x[p])) < 0 {
				break
			}
			b.touches = b.touches[:len(b.touches)-1]
		}
		b.touches = append(b.touches, i)
	}
	b.y[0] = y[from]
	for k := 1; k < len(b.touches); k++ {
		p, q := b.touches[k-1], b.touches[k]
		for i := p + 1; i <= q; i++ {
			b.y[i-from] = y[p] + (y[q]-y[p])*(x[i]-x[p])/(x[q]-x[p])
		}
	}
	return b
}

func (b *bend) at(i int) float64 { return b.y[i-b.from] }

// dip is that of a sample.
func dip(sorted []float64) float64 {
	s := newStairs(sorted)
	most := 1.0 // in steps; half of it is the dip
	for from, to := 0, len(s.x)-1; ; {
		minorant, majorant := newBend(s.x, s.below, from, to, 1), newBend(s.x, s.upto, from, to, -1)
		apart, left, right := furthest(&s, &minorant, &majorant)
		if apart <= most {
			break
		}
		for i := from; i < left; i++ {
			most = max(most, s.upto[i]-minorant.at(i))
		}
		for i := right + 1; i <= to; i++ {
			most = max(most, majorant.at(i)-s.below[i])
		}
		if left == from && right == to {
			break
		}
		from, to = left, right
	}
	return most / 2 / float64(len(sorted))
}

// furthest is where the two are furthest apart, which is at a corner of one of them,
// and the interval between that corner and the next of the other one.
func furthest(s *stairs, minorant, majorant *bend) (apart float64, left, right int) {
	left, right = minorant.from, minorant.to
	for _, i := range minorant.touches {
		if d := majorant.at(i) - s.below[i]; d > apart {
			at, _ := slices.BinarySearch(majorant.touches, i)
			apart, left, right = d, i, majorant.touches[at]
		}
	}
	for _, i := range majorant.touches {
		if d := s.upto[i] - minorant.at(i); d > apart {
			at, found := slices.BinarySearch(minorant.touches, i)
			if !found {
				at--
			}
			apart, left, right = d, minorant.touches[at], i
		}
	}
	return apart, left, right
}

// Of how many uniform samples the p values are shares, and beyond which size they are
// those of that size, since the dip then falls with the root of the size.
const (
	uniformSamples = 2000
	mostUniform    = 200
)

var uniformDips sync.Map

// dipP is the share of uniform samples of the size with at least that dip: of all
// distributions with one hump, the uniform one is the hardest to tell from two.
func dipP(n int, d float64) float64 {
	size := min(n, mostUniform)
	d *= math.Sqrt(float64(n) / float64(size))
	known, ok := uniformDips.Load(size)
	if !ok {
		rng := rand.New(rand.NewPCG(uint64(size), 0))
		dips := make([]float64, uniformSamples)
		sample := make([]float64, size)
		for i := range dips {
			for k := range sample {
				sample[k] = rng.Float64()
			}
			slices.Sort(sample)
			dips[i] = dip(sample)
		}
		slices.Sort(dips)
		known, _ = uniformDips.LoadOrStore(size, dips)
	}
	dips := known.([]float64)
	below, _ := slices.BinarySearch(dips, d)
	return float64(len(dips)-below+1) / float64(len(dips)+1)
}
