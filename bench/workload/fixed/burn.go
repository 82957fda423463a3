// SPDX-License-Identifier: Apache-2.0

package fixed

// The work of a burst is a linear congruential generator: each step needs the
// one before, so n steps take n steps, and yet where they end is known by
// squaring. Constants: Knuth's MMIX, full period of 2^64.
const (
	lcgMul = 6364136223846793005
	lcgAdd = 1442695040888963407
)

// Steps in a time, nearly: one takes four cycles, at 3 GHz 1.33 ns.
const (
	stepsPerMs = 750_000
	stepsPerUs = 750
)

// burn makes n steps from x.
//
//go:nosplit
//go:noinline
func burn(x, n uint64) uint64 {
	for ; n > 0; n-- {
		x = x*lcgMul + lcgAdd
	}
	return x
}

// jump is where burn ends, without the work.
func jump(x, n uint64) uint64 {
	mul, add := uint64(lcgMul), uint64(lcgAdd)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			x = x*mul + add
		}
		mul, add = mul*mul, (mul+1)*add
	}
	return x
}

// mix spreads the bits of x, so that sums over threads tell one from another
// (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// first is the state that something with an index begins with.
func first(seed uint64, index int) uint64 { return mix(seed ^ mix(uint64(index)+1)) }

// total folds the last states of all into one.
func total(states []uint64) uint64 {
	var sum uint64
	for i, x := range states {
		sum += mix(x + uint64(i))
	}
	return sum
}
