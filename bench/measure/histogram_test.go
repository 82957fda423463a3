// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// duration draws from all orders of magnitude alike.
func duration(t *rapid.T, what string) uint64 {
	return rapid.Uint64().Draw(t, what) >> rapid.IntRange(0, 63).Draw(t, what+"'s zeros")
}

func TestBounds(t *testing.T) {
	end := time.Duration(0)
	for i := range numBuckets {
		from, to := bounds(i)
		if from != end || to <= from || i >= sub && float64(to-from) > float64(from)/sub {
			t.Fatalf("bucket %d: %d to %d after %d", i, from, to, end)
		}
		for ns, want := range map[time.Duration]int{from: i, to - 1: i} {
			if got := bucketOf(uint64(ns)); got != want {
				t.Fatalf("%d ns: bucket %d, want %d", ns, got, want)
			}
		}
		end = to
	}
	if end != 1<<maxBits || bucketOf(uint64(end)) != numBuckets-1 || bucketOf(math.MaxUint64) != numBuckets-1 {
		t.Errorf("the last bucket ends at %d", end)
	}
}

// TestBucketC runs the C side's buckets in the kernel.
func TestBucketC(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_BPF: run as root")
	}
	var objs bucketObjects
	if err := loadBucketObjects(&objs, nil); err != nil {
		t.Fatal(err)
	}
	defer objs.Close()
	check := func(t rapid.TB, ns uint64) {
		if err := objs.Ns.Set(ns); err != nil {
			t.Fatal(err)
		}
		got, err := objs.Bucket.Run(nil)
		if err != nil {
			t.Fatal(err)
		}
		if int(got) != bucketOf(ns) {
			t.Fatalf("%d ns: C has bucket %d, Go %d", ns, got, bucketOf(ns))
		}
	}
	for i := range numBuckets {
		from, to := bounds(i)
		check(t, uint64(from))
		check(t, uint64(to-1))
	}
	rapid.Check(t, func(t *rapid.T) { check(t, duration(t, "ns")) })
}

func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Recorder
		var all []time.Duration
		var sum time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			d := time.Duration(duration(t, "ns") >> 28)
			r.Add(d)
			all, sum = append(all, d), sum+d
		}
		slices.Sort(all)
		h := r.Histogram()
		if h.Count != uint64(len(all)) || h.Max != all[len(all)-1] || h.Sum != sum || h.Mean() != time.Duration(float64(sum)/float64(len(all))) {
			t.Fatalf("%+v of %v", h, all)
		}
		last := time.Duration(0)
		for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
			got := h.Quantile(q)
			exact := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
			if diff := (got - exact).Abs(); float64(diff) > float64(exact)/sub+1 {
				t.Fatalf("quantile %v: %v, exactly %v of %v", q, got, exact, all)
			}
			if got < last {
				t.Fatalf("quantile %v: %v, a lower one was %v", q, got, last)
			}
			last = got
		}
	})
}

func TestEmptyHistogram(t *testing.T) {
	var r Recorder
	h := r.Histogram()
	if h.Mean() != 0 || h.Quantile(0.5) != 0 || h.Buckets == nil || len(h.Buckets) != 0 {
		t.Errorf("%+v", h)
	}
	r.Add(-1) // a clock that was set back
	if h := r.Histogram(); h.Sum != 0 || h.Buckets[0] != (Bucket{0, 1, 1}) {
		t.Errorf("%+v", h)
	}
}

func TestMerge(t *testing.T) {
	var a, b latencyMllbLatency
	a.Count, a.Sum, a.Max, a.Lost, a.Start = 2, 30, 20, 1, 5
	a.Buckets[10], a.Buckets[20] = 1, 1
	b.Count, b.Sum, b.Max, b.Orphans = 1, 10, 10, 7
	b.Buckets[10] = 1
	f := merge([]latencyMllbLatency{a, b})
	if f.Count != 3 || f.Sum != 40 || f.Max != 20 || f.Lost != 2 || !slices.Equal(f.Buckets, []Bucket{{10, 11, 2}, {20, 21, 1}}) {
		t.Errorf("%+v", f)
	}
	l := Latency{CPUs: 2, Wall: 100}
	if got := l.Share(&f); got != 0.2 {
		t.Errorf("share %v", got)
	}
	if got := new(Latency).Share(&f); got != 0 {
		t.Errorf("share of nothing %v", got)
	}
}
