// SPDX-License-Identifier: Apache-2.0

package features

import "fmt"

// Vector is a Decision as the network sees it, in Q21.11. The 0/1 features are
// apart from the quotients and packed, so that inference can look sums of
// weights up by them instead of multiplying; the rest is zero.
type Vector struct {
	Bits   uint32          // bit k: the k-th Binary feature of the set, in its order
	Ratios [MaxRatio]int32 // the Ratio features of the set, in its order
}

// Fill derives the features of d. It does not allocate.
func (s *Set) Fill(v *Vector, d *Decision) {
	*v = Vector{}
	bit, ratio := 0, 0
	for i := range s.Features {
		f := &s.Features[i]
		num, den := f.Value(d)
		if f.Kind == Binary {
			v.Bits |= uint32(num) << (bit & 31)
			bit++
			continue
		}
		v.Ratios[ratio&(MaxRatio-1)] = FromRatio(num, den)
		ratio++
	}
}

// Floats derives the features of d as real numbers, neither rounded to Q21.11
// nor saturated, into the first len(s.Features) places of dst.
func (s *Set) Floats(dst []float32, d *Decision) {
	dst = dst[:len(s.Features)]
	for i := range s.Features {
		num, den := s.Features[i].Value(d)
		switch den {
		case 0:
			dst[i] = 0
		case 1:
			dst[i] = float32(num)
		default:
			dst[i] = float32(float64(num) / float64(den))
		}
	}
}

// Unpack writes the features of v in the order of the set, in Q21.11, into the
// first len(s.Features) places of q. A Binary feature is 0 or One.
func (s *Set) Unpack(q []int32, v *Vector) {
	q = q[:len(s.Features)]
	bit, ratio := 0, 0
	for i := range s.Features {
		if s.Features[i].Kind == Binary {
			q[i] = int32(v.Bits>>bit&1) << FracBits
			bit++
			continue
		}
		q[i] = v.Ratios[ratio]
		ratio++
	}
}

// Pack is the inverse of Unpack. It refuses another number of features, and a
// Binary feature that is neither 0 nor One.
func (s *Set) Pack(v *Vector, q []int32) error {
	if len(q) != len(s.Features) {
		return fmt.Errorf("%d values for the %d features of %s", len(q), len(s.Features), s.Name)
	}
	*v = Vector{}
	bit, ratio := 0, 0
	for i := range s.Features {
		f := &s.Features[i]
		switch {
		case f.Kind == Ratio:
			v.Ratios[ratio] = q[i]
			ratio++
		case q[i] == 0 || q[i] == One:
			v.Bits |= uint32(q[i]>>FracBits) << bit
			bit++
		default:
			return fmt.Errorf("feature %s of %s is %d, not 0 or %d", f.Name, s.Name, q[i], One)
		}
	}
	return nil
}
