// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math"

	"mllb/internal/number"
	"mllb/mlp"
)

func (e *evaluation) report(paths []string) *Report {
	m, runs := e.cfg.Model, e.groups.all()
	total := runs.sum()
	c := &total[judgeFixed]
	stay, migrate := c.N[mlp.Stay][0]+c.N[mlp.Stay][1], c.N[mlp.Migrate][0]+c.N[mlp.Migrate][1]
	r := &Report{
		Model: Model{e.cfg.Name, m.Set.Name, []int{len(m.Set.Features), m.Hidden(), 1}, m.Threshold, m.Provenance},
		Data:  Data{paths, e.records, c.Rows(), stay, migrate},
	}
	intervals := runs.intervals(e.judges())
	for j, a := range total.answers(e.judges()) {
		r.Scores = append(r.Scores, Score{Answers: a, Interval: intervals[j], AUC: undefined, Loss: undefined, Brier: undefined, CalibrationError: undefined})
	}
	for j := range e.trust {
		e.trust[j].into(&r.Scores[j])
	}
	r.Scores[judgeFloat].AUC, r.Scores[judgeFloat].ROC = roc(e.floats)
	r.Scores[judgeFixed].AUC, r.Scores[judgeFixed].ROC = roc(e.fixeds)
	r.Notes = e.notes(stay, migrate)
	r.Agreement = e.agreement.result()
	r.Groups = e.groups.result(e.judges())
	r.Verdict = newVerdict(runs, e.groups.by(byLoad))
	for _, w := range e.widths {
		r.Widths = append(r.Widths, w.result())
	}
	r.Mistakes = e.mistakes.kept
	return r
}

// judges is how many there are: without ranges there is no guard.
func (e *evaluation) judges() int {
	if e.bounds == nil {
		return judgeGuarded
	}
	return numJudges
}

func (e *evaluation) notes(stay, migrate int) (notes []string) {
	for y, n := range [2]int{stay, migrate} {
		if n == 0 {
			notes = append(notes, fmt.Sprintf("No decision is %q: its recall, balanced accuracy and ROC AUC are undefined.", labels[y]))
		}
	}
	if seen := e.groups.notHeld(); seen > 0 {
		notes = append(notes, fmt.Sprintf("%d decisions are of runs that the model does not name as held out: it may have learned from them.", seen))
	}
	return notes
}

var undefined = number.Num(math.NaN())

var labels = [2]string{mlp.Stay: "stay", mlp.Migrate: "migrate"}
