// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"math"
	"slices"

	"mllb/internal/number"
	"mllb/mlp"
)

// Score is how well one judge did on all decisions. What follows AUC needs a
// probability; a rule gives none.
type Score struct {
	Answers
	Interval         Interval   `json:"balanced_accuracy_95"`
	AUC              number.Num `json:"roc_auc"`           // "migrate" being the positive label
	Loss             number.Num `json:"loss"`              // mean cross-entropy, in nats
	Brier            number.Num `json:"brier"`             // mean squared error of the probability
	CalibrationError number.Num `json:"calibration_error"` // mean |probability - share that migrated| over the bins
	Calibration      []Bin      `json:"calibration,omitempty"`
	ROC              []Point    `json:"roc,omitempty"`
}

// Bin is the decisions whose probability of "migrate" is in [From, To).
type Bin struct {
	From      float64    `json:"from"`
	To        float64    `json:"to"`
	Rows      int        `json:"decisions"`
	Predicted number.Num `json:"predicted"` // mean probability
	Migrated  number.Num `json:"migrated"`  // share that did migrate
}

// Point is one cut on the way from "always" to "never".
type Point struct {
	FalseMigrate float64 `json:"false_migrate"` // share of the stay decisions answered "migrate"
	TrueMigrate  float64 `json:"true_migrate"`
}

// binEdges are dense at both ends, where the probabilities are.
var binEdges = []float64{0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1}

// reliability sums up how true probabilities are, in one pass.
type reliability struct {
	rows, migrated []int
	sum            []float64
	loss, brier    float64
}

func newReliability() reliability {
	n := len(binEdges) - 1
	return reliability{rows: make([]int, n), migrated: make([]int, n), sum: make([]float64, n)}
}

func (r *reliability) add(logit float64, label uint8) {
	p := sigmoid(logit)
	k, found := slices.BinarySearch(binEdges, p)
	if !found {
		k--
	}
	k = min(k, len(r.rows)-1)
	r.rows[k]++
	r.migrated[k] += int(label)
	r.sum[k] += p
	r.loss += mlp.CrossEntropy(logit, label)
	r.brier += (p - float64(label)) * (p - float64(label))
}

// into writes the means to s.
func (r *reliability) into(s *Score) {
	total, off := 0, 0.0
	for k, n := range r.rows {
		b := Bin{From: binEdges[k], To: binEdges[k+1], Rows: n, Migrated: number.Share(r.migrated[k], n), Predicted: number.Num(r.sum[k] / float64(n))}
		s.Calibration = append(s.Calibration, b)
		total += n
		off += math.Abs(r.sum[k] - float64(r.migrated[k]))
	}
	s.Loss, s.Brier, s.CalibrationError = number.Num(r.loss/float64(total)), number.Num(r.brier/float64(total)), number.Num(off/float64(total))
}

func sigmoid(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }

// rocPoints bounds the points of a curve.
const rocPoints = 200

// roc returns the area under the curve and points of it, given the logits of
// each label, which it sorts. Equal logits count half. Without one of the labels
// there is no curve.
func roc[T cmp.Ordered](byLabel [2][]T) (number.Num, []Point) {
	stay, migrate := byLabel[mlp.Stay], byLabel[mlp.Migrate]
	if len(stay) == 0 || len(migrate) == 0 {
		return number.Num(math.NaN()), nil
	}
	slices.Sort(stay)
	slices.Sort(migrate)
	n0, n1 := float64(len(stay)), float64(len(migrate))
	area := 0.0
	curve := []Point{{1, 1}}
	for i, j := 0, 0; i < len(stay) || j < len(migrate); {
		// One step: everything with the least logit left goes below the cut.
		cut := least(stay[i:], migrate[j:])
		i0, j0 := i, j
		for i < len(stay) && stay[i] == cut {
			i++
		}
		for j < len(migrate) && migrate[j] == cut {
			j++
		}
		area += float64(j-j0) * (float64(i0) + float64(i-i0)/2)
		p := Point{1 - float64(i)/n0, 1 - float64(j)/n1}
		last := &curve[len(curve)-1]
		if last.FalseMigrate-p.FalseMigrate+last.TrueMigrate-p.TrueMigrate >= 2.0/rocPoints {
			curve = append(curve, p)
		}
	}
	return number.Num(area / n0 / n1), append(curve, Point{0, 0})
}

func least[T cmp.Ordered](a, b []T) T {
	if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
		return a[0]
	}
	return b[0]
}
