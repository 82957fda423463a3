// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math/bits"
	"time"
)

// Histogram counts durations in log-linear buckets (latency.h): one ns wide
// below 16 ns, then 16 buckets for each power of two.
type Histogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Max     time.Duration `json:"max_ns"`
	Buckets []Bucket      `json:"buckets"` // those that are not empty, ascending
}

// Bucket holds the durations from From up to, but not including, To. The one
// that begins at 2^36-2^31 ns has all that are longer as well.
type Bucket struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
	N    uint64        `json:"n"`
}

// Mean is the exact mean; 0 without a call.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return time.Duration(float64(h.Sum) / float64(h.Count))
}

// Quantile returns the duration below which a share q of the calls took, from
// 0 to 1. Within a bucket calls count as evenly spread, so it errs by a 16th
// at the most; it never exceeds Max. 0 without a call.
func (h *Histogram) Quantile(q float64) time.Duration {
	below := 0.0
	want := q * float64(h.Count)
	for _, b := range h.Buckets {
		n := float64(b.N)
		if below+n >= want {
			at := float64(b.From) + float64(b.To-b.From)*(want-below)/n
			return min(time.Duration(at), h.Max)
		}
		below += n
	}
	return h.Max
}

// As in latency.h.
const (
	subBits    = 4
	sub        = 1 << subBits
	maxBits    = 36
	numBuckets = (maxBits - subBits + 1) * sub
)

// bucketOf is latency_bucket of latency.h.
func bucketOf(ns uint64) int {
	if ns < sub {
		return int(ns)
	}
	shift := bits.Len64(ns) - 1 - subBits
	return min(shift*sub+int(ns>>shift), numBuckets-1)
}

// bounds is what a bucket holds.
func bounds(i int) (from, to time.Duration) {
	if i < sub {
		return time.Duration(i), time.Duration(i + 1)
	}
	shift := i/sub - 1
	return time.Duration(i-shift*sub) << shift, time.Duration(i-shift*sub+1) << shift
}

// histogram makes one of counted buckets.
func histogram(count, sum, longest uint64, buckets *[numBuckets]uint64) Histogram {
	h := Histogram{Count: count, Sum: time.Duration(sum), Max: time.Duration(longest), Buckets: []Bucket{}}
	for i, n := range buckets {
		if n > 0 {
			from, to := bounds(i)
			h.Buckets = append(h.Buckets, Bucket{from, to, n})
		}
	}
	return h
}

// Recorder makes a Histogram of durations that user space measured. The zero
// value is ready; only one goroutine may use it.
type Recorder struct {
	count, sum, max uint64
	buckets         [numBuckets]uint64
}

// Add counts one duration; below 0 is 0.
func (r *Recorder) Add(d time.Duration) {
	ns := uint64(max(d, 0))
	r.count++
	r.sum += ns
	r.max = max(r.max, ns)
	r.buckets[bucketOf(ns)]++
}

// Histogram returns what was counted so far.
func (r *Recorder) Histogram() Histogram { return histogram(r.count, r.sum, r.max, &r.buckets) }
