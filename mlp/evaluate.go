// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"fmt"
	"math"

	"mllb/features"
	"mllb/internal/number"
)

// Confusion counts answers by label: N[label][answer]. Accuracy alone says
// nothing where the kernel answers "migrate" in 96 to 99.8 % of cases; read it
// beside Majority.
type Confusion struct{ N [2][2]int }

// Add counts one answer.
func (c *Confusion) Add(label, answer uint8) { c.N[label&1][answer&1]++ }

// Rows returns the number of answers counted.
func (c *Confusion) Rows() int { return c.N[0][0] + c.N[0][1] + c.N[1][0] + c.N[1][1] }

// Accuracy is the share of right answers; NaN without any.
func (c *Confusion) Accuracy() float64 { return ratio(c.N[0][0]+c.N[1][1], c.Rows()) }

// Majority is the accuracy of always giving the more frequent answer.
func (c *Confusion) Majority() float64 {
	return ratio(max(c.N[0][0]+c.N[0][1], c.N[1][0]+c.N[1][1]), c.Rows())
}

// Recall is the share of the rows with a label that got it as the answer; NaN
// without such rows.
func (c *Confusion) Recall(label uint8) float64 {
	n := &c.N[label&1]
	return ratio(n[label&1], n[0]+n[1])
}

// Balanced is the mean of both recalls; NaN if a label does not occur.
func (c *Confusion) Balanced() float64 { return (c.Recall(Stay) + c.Recall(Migrate)) / 2 }

func ratio(a, b int) float64 { return float64(a) / float64(b) }

// Evaluation is how well a model answers on some data.
type Evaluation struct {
	Confusion
	Loss float64 // mean cross-entropy, in nats
}

// Evaluate judges a model, in floating point, on data that it was not fitted to.
func Evaluate(m *Model, d *Data) (Evaluation, error) {
	var e Evaluation
	if err := d.Check(); err != nil {
		return e, err
	}
	if m.Set != d.Set {
		return e, fmt.Errorf("data: features of %s, but the model reads %s", d.Set.Name, m.Set.Name)
	}
	f, err := NewFloat(m)
	if err != nil {
		return e, err
	}
	for i, y := range d.Y {
		logit := f.Logit(d.Row(i))
		e.Loss += CrossEntropy(float64(logit), y)
		answer := uint8(Stay)
		if f.Migrate(logit) {
			answer = Migrate
		}
		e.Add(y, answer)
	}
	e.Loss /= float64(d.Rows())
	return e, nil
}

// Metrics returns the figures as a model's provenance names them. A figure that
// the data cannot give, such as the recall of a label that it lacks, is left out.
func (e *Evaluation) Metrics() map[string]float64 {
	m := map[string]float64{
		"rows":           float64(e.Rows()),
		"accuracy":       e.Accuracy(),
		"majority":       e.Majority(),
		"balanced":       e.Balanced(),
		"stay_recall":    e.Recall(Stay),
		"migrate_recall": e.Recall(Migrate),
		"loss":           e.Loss,
	}
	for name, x := range m {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			delete(m, name)
		}
	}
	return m
}

// Doubt says what is doubtful of a model with these figures, which are Metrics of
// decisions held out, or with "cv_" before each name; "" if nothing is, or if there are
// none. A model that answers no better than one that always says "migrate" can be 99 %
// accurate. Its balanced accuracy is then 50 %, but for chance: two standard errors.
func Doubt(metrics map[string]float64) string {
	for _, of := range []string{"", "cv_"} {
		balanced, known := metrics[of+"balanced"]
		if known && balanced <= 0.5+2*balancedError(metrics, of) {
			return fmt.Sprintf("is no better than always \"migrate\": balanced accuracy %s on the decisions held out, where that has 50 %%",
				number.Num(balanced).Percent(1))
		}
		if _, judged := metrics[of+"accuracy"]; judged && !known {
			return "may be no better than always \"migrate\": the decisions held out have only one label"
		}
	}
	return ""
}

// balancedError is the standard error of a balanced accuracy: over the folds of a
// cross-validation, or else by the number of decisions with each label, of which "stay"
// is the rarer.
func balancedError(m map[string]float64, of string) float64 {
	if folds := m["cv_folds"]; folds > 0 {
		return m[of+"balanced_sd"] / math.Sqrt(folds)
	}
	variance := 0.0
	for recall, share := range map[string]float64{"stay_recall": 1 - m["majority"], "migrate_recall": m["majority"]} {
		if n := share * m["rows"]; n > 0 {
			variance += m[recall] * (1 - m[recall]) / n
		}
	}
	return math.Sqrt(variance) / 2
}

// loss sums cross-entropies by label. The sum of log(1+e) is taken as the
// logarithm of a product, which is tail+1: with a logarithm for each row
// BenchmarkTrain takes 1.12 times as long.
type loss struct{ sum, tail [2]float64 }

// add counts a row, given e = exp(-|logit|).
func (l *loss) add(logit, e float64, label uint8) {
	y := label & 1
	l.sum[y] += max(logit, 0) - logit*float64(y)
	t := l.tail[y]
	if t += e + t*e; t > 1e300 {
		l.sum[y] += math.Log1p(t)
		t = 0
	}
	l.tail[y] = t
}

// total is the sum of the losses, each times the weight of its label.
func (l *loss) total(weights *[2]float64) float64 {
	return weights[0]*(l.sum[0]+math.Log1p(l.tail[0])) + weights[1]*(l.sum[1]+math.Log1p(l.tail[1]))
}

// CrossEntropy is -log of the probability that the logit gives to the label,
// in the form that neither overflows nor loses the tail.
func CrossEntropy(logit float64, label uint8) float64 {
	return max(logit, 0) - logit*float64(label) + math.Log1p(math.Exp(-math.Abs(logit)))
}

// Agreement is the share of rows on which the integer network gives the answer
// of the float one: what quantisation costs.
func Agreement(m *Model, d *Data) (float64, error) {
	float, err := NewFloat(m)
	if err != nil {
		return 0, err
	}
	fixed, err := NewFixed(m)
	if err != nil {
		return 0, err
	}
	same := 0
	q := make([]int32, len(m.Set.Features))
	for i := range d.Rows() {
		row := d.Row(i)
		for k, x := range row {
			q[k] = nearest(x)
		}
		var v features.Vector
		if err := m.Set.Pack(&v, q); err != nil {
			return 0, fmt.Errorf("data: row %d: %w", i, err)
		}
		if fixed.Migrate(fixed.Logit(&v)) == float.Migrate(float.Logit(row)) {
			same++
		}
	}
	return ratio(same, d.Rows()), nil
}

// nearest is a feature's Q21.11, saturated as features saturate.
func nearest(x float32) int32 {
	return int32(min(max(math.Round(float64(x)*features.One), math.MinInt32), math.MaxInt32))
}
