// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aclements/go-moremath/stats"

	"mllb/internal/number"
)

// Humps are two groups of an arm's runs, such as those in which two threads landed on
// one core and those in which they did not. A typical run is then of the larger group,
// whatever the other one is like.
type Humps struct {
	P    number.Num `json:"p"` // that one hump looks so much like two: the dip test's
	Low  Hump       `json:"low"`
	High Hump       `json:"high"`
}

// Hump is one of them.
type Hump struct {
	Runs   int        `json:"runs"`
	Median number.Num `json:"median"`
}

// Outlier is a run far from the others.
type Outlier struct {
	Round int        `json:"round"`
	Value number.Num `json:"value"`
}

const (
	fewestHumped = 8    // runs in which two humps are looked for
	humpedLevel  = 0.1  // of the dip test: it is a warning, and samples with one hump are hardly ever uniform
	fences       = 3    // quartile distances from the quartiles to an outlier (Tukey's outer fences)
	distinct     = 0.05 // of the lower one: what is closer is neither a hump nor an outlier of its own
)

// twoHumps finds them by the dip test, and where the two are parted least unlike
// themselves, by the squares of their logarithms' distances from the means.
func twoHumps(values []float64) *Humps {
	if len(values) < fewestHumped || slices.Min(values) <= 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	p := dipP(len(sorted), dip(sorted))
	if p > humpedLevel {
		return nil
	}
	at := parting(sorted)
	low, high := sorted[:at], sorted[at:]
	if middle(high) < middle(low)*(1+distinct) {
		return nil
	}
	return &Humps{number.Num(p), Hump{len(low), number.Num(middle(low))}, Hump{len(high), number.Num(middle(high))}}
}

// parting is the size of the lower of two groups.
func parting(sorted []float64) (at int) {
	logs := make([]float64, len(sorted))
	for i, v := range sorted {
		logs[i] = math.Log(v)
	}
	least := math.Inf(1)
	for i := 1; i < len(logs); i++ {
		if within := squares(logs[:i]) + squares(logs[i:]); within < least {
			least, at = within, i
		}
	}
	return at
}

// squares is the sum of the squared distances from the mean.
func squares(v []float64) (sum float64) {
	m := stats.Mean(v)
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return sum
}

// outliers are beyond Tukey's outer fences (Exploratory Data Analysis, 1977).
func outliers(values []float64, rounds []int) (found []Outlier) {
	if len(values) < fewestDrawn {
		return nil
	}
	s := stats.Sample{Xs: slices.Sorted(slices.Values(values)), Sorted: true}
	low, mid, high := s.Quantile(0.25), s.Quantile(0.5), s.Quantile(0.75)
	reach := fences * (high - low)
	for i, v := range values {
		if beyond := max(low-v, v-high); beyond > reach && math.Abs(v-mid) > distinct*mid {
			found = append(found, Outlier{rounds[i], number.Num(v)})
		}
	}
	return found
}

// shape looks for both; runs of a second hump are no outliers.
func (a *ArmResult) shape(records []*Record) {
	var values []float64
	var rounds []int
	for _, r := range records {
		if v, ok := judged(r); ok {
			values, rounds = append(values, v), append(rounds, r.Round)
		}
	}
	if a.Humps = twoHumps(values); a.Humps == nil {
		a.Outliers = outliers(values, rounds)
	}
}

// shapeNotes warn of both.
func (w *WorkloadResult) shapeNotes() (notes []string) {
	unit := w.Unit
	if unit == "" {
		unit = "s"
	}
	for _, a := range w.Arms {
		if h := a.Humps; h != nil {
			notes = append(notes, fmt.Sprintf("%s under %s: two humps, %s at about %s %s and %d at about %s %s (dip test, p %s): judge it by the mean of all runs",
				w.Name, a.Arm, number.Of(h.Low.Runs, "run"), h.Low.Median, unit, h.High.Runs, h.High.Median, unit, pValue(h.P)))
		}
		if len(a.Outliers) > 0 {
			var which []string
			for _, o := range a.Outliers[:min(len(a.Outliers), mostNamed)] {
				which = append(which, fmt.Sprintf("round %d (%s %s)", o.Round, o.Value, unit))
			}
			notes = append(notes, fmt.Sprintf("%s under %s: %s, far from the median of %s %s: %s%s", w.Name, a.Arm,
				number.Of(len(a.Outliers), "outlier"), a.value(metrics[0].Name).Median, unit, strings.Join(which, ", "), more(len(a.Outliers))))
		}
	}
	return notes
}

// pValue is "= 0.012" or "< 0.001".
func pValue(p number.Num) string {
	text := probability(p)
	if least, below := strings.CutPrefix(text, "<"); below {
		return "< " + least
	}
	return "= " + text
}
