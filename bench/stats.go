// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"mllb/internal/number"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
)

// What every comparison goes by.
const (
	alpha      = 0.05 // of a family of comparisons, after Holm
	confidence = 0.95 // of each interval
	power      = 0.80 // of the smallest difference that is called detectable
	resamples  = 1000
)

// Estimate is a median with the interval of its order statistics, which needs
// six runs at 95 %.
type Estimate struct {
	N      int        `json:"runs"`
	Median number.Num `json:"median"`
	Lo     number.Num `json:"lo"`
	Hi     number.Num `json:"hi"`
}

func estimate(values []float64) Estimate {
	if len(values) == 0 {
		return Estimate{0, number.Unknown, number.Unknown, number.Unknown}
	}
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), confidence)
	e := Estimate{len(values), number.Num(s.Center), number.Num(s.Lo), number.Num(s.Hi)}
	if !e.Lo.Known() || !e.Hi.Known() { // half an interval would be read as a whole one
		e.Lo, e.Hi = number.Unknown, number.Unknown
	}
	return e
}

// Comparison holds an arm against stock. The ratio is the Hodges-Lehmann one: the
// median of all quotients of a run of the arm by a run of stock. Its interval
// consists of two of those quotients, and is the dual of the Mann-Whitney test:
// it leaves 1 out exactly if p < 0.05 before correction (ties apart).
type Comparison struct {
	P        number.Num `json:"p"`          // Mann-Whitney, two-sided
	Holm     number.Num `json:"p_holm"`     // corrected for all comparisons of this metric
	Ratio    number.Num `json:"ratio"`      // to stock; undefined where a run has 0
	Lo       number.Num `json:"ratio_lo"`   // of its interval, for this comparison alone
	Hi       number.Num `json:"ratio_hi"`   //
	Smallest number.Num `json:"detectable"` // smallest share by which it would have had to be more to be found in 80 % of cases
	Verdict  Verdict    `json:"verdict"`

	n, m  int  // runs of stock and of the arm
	above bool // the arm's runs exceed those of stock more often than not
}

// Verdict is what a comparison says.
type Verdict string

// The verdicts. "No difference" says that none was found, not that there is none:
// see Comparison.Smallest.
const (
	More         Verdict = "more" // than stock: slower, of times
	Less         Verdict = "less"
	NoDifference Verdict = "no significant difference"
	TooFew       Verdict = "too few runs"
)

// compare does all but what the other comparisons decide: Holm and Verdict.
func compare(stock, arm []float64) Comparison {
	c := Comparison{P: number.Unknown, Holm: number.Unknown, Ratio: number.Unknown, Lo: number.Unknown, Hi: number.Unknown, Smallest: number.Unknown,
		Verdict: TooFew, n: len(stock), m: len(arm), above: exceeds(arm, stock)}
	if len(stock) == 0 || len(arm) == 0 {
		return c
	}
	sample := func(v []float64) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds)
	}
	c.P = number.Num(min(benchmath.AssumeNothing.Compare(sample(stock), sample(arm)).P, 1))
	if q := quotients(arm, stock); q != nil {
		c.Ratio = number.Num(middle(q))
		if k, ok := critical(len(stock), len(arm), 1-confidence); ok {
			c.Lo, c.Hi = number.Num(q[k]), number.Num(q[len(q)-1-k])
		}
	}
	return c
}

// quotients are all of a by b, ascending; nil if a value is not above 0.
func quotients(a, b []float64) []float64 {
	if slices.Min(a) <= 0 || slices.Min(b) <= 0 {
		return nil
	}
	q := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			q = append(q, x/y)
		}
	}
	slices.Sort(q)
	return q
}

// exceeds says whether a's values are above b's in more pairs than below.
func exceeds(a, b []float64) bool {
	n := 0
	for _, x := range a {
		for _, y := range b {
			n += cmp.Compare(x, y)
		}
	}
	return n > 0
}

// middle is the median of what is sorted.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// judge corrects the p values of one family (Holm 1979) and gives each
// comparison its verdict: too few runs, if not even the greatest difference could
// have passed the strictest of the corrected tests. Those that could not be made do not count.
func judge(family []*Comparison) {
	family = slices.DeleteFunc(slices.Clone(family), func(c *Comparison) bool { return !c.P.Known() })
	slices.SortStableFunc(family, func(a, b *Comparison) int { return cmp.Compare(a.P, b.P) })
	worst := number.Num(0)
	for i, c := range family {
		worst = max(worst, min(1, number.Num(len(family)-i)*c.P))
		c.Holm = worst
		_, enough := critical(c.n, c.m, alpha/float64(len(family)))
		switch {
		case c.Holm < alpha && c.above:
			c.Verdict = More
		case c.Holm < alpha:
			c.Verdict = Less
		case enough:
			c.Verdict = NoDifference
		}
	}
}

// critical returns the largest U at which the Mann-Whitney test finds a
// difference at that level, and whether there is any.
func critical(n, m int, level float64) (int, bool) {
	type key struct {
		n, m  int
		level float64
	}
	k := key{min(n, m), max(n, m), level}
	if u, ok := criticals.Load(k); ok {
		return u.(int), u.(int) >= 0
	}
	// The first U whose tail is too heavy, less one.
	u := searchU(n*m/2+1, func(u int) bool { return 2*uTail(n, m, u) > level }) - 1
	criticals.Store(k, u)
	return u, u >= 0
}

var criticals sync.Map

// searchU is the first of 0..n for which f holds, or n.
func searchU(n int, f func(int) bool) int {
	lo, hi := 0, n
	for lo < hi {
		if mid := (lo + hi) / 2; f(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// uTail is P(U <= u) if there is no difference; beyond the sizes for which
// benchmath counts, by the normal approximation, as there.
func uTail(n, m, u int) float64 {
	if n <= stats.MannWhitneyExactLimit && m <= stats.MannWhitneyExactLimit {
		return stats.UDist{N1: n, N2: m}.CDF(float64(u))
	}
	mean, sd := float64(n*m)/2, math.Sqrt(float64(n*m)*float64(n+m+1)/12)
	return stats.StdNormal.CDF((float64(u) + 0.5 - mean) / sd)
}

// smallest is the share by which an arm of m runs would have to exceed stock to be
// told apart at that level in 80 % of cases. Both samples are drawn with
// replacement from the runs of stock, so an arm is taken to spread as stock
// does. In each draw the test finds every factor from the one on at which no more
// than the critical number of pairs are the wrong way round; the answer is the 80 %
// quantile of these.
func smallest(stock []float64, m int, level float64, seed uint64) number.Num {
	n := len(stock)
	if n == 0 || m == 0 || slices.Min(stock) <= 0 {
		return number.Unknown
	}
	k, ok := critical(n, m, level)
	if !ok {
		return number.Unknown
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	a, b := make([]float64, n), make([]float64, m)
	found := make([]float64, resamples)
	for i := range found {
		redraw(rng, a, stock)
		redraw(rng, b, stock)
		q := quotients(a, b)
		found[i] = q[len(q)-1-k] - 1
	}
	slices.Sort(found)
	return number.Num(max(0, found[int(math.Ceil(power*resamples))-1]))
}

func redraw(rng *rand.Rand, into, from []float64) {
	for i := range into {
		into[i] = from[rng.IntN(len(from))]
	}
}

// runsNeeded is how many runs of each the test needs at least to find any
// difference at that level.
func runsNeeded(level float64) int {
	for n := 2; ; n++ {
		if _, ok := critical(n, n, level); ok {
			return n
		}
	}
}
