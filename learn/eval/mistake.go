// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"

	"mllb/learn/dataset"
	"mllb/mlp"
)

// Mistake is one decision that the network in integers got wrong.
type Mistake struct {
	File        string  `json:"file"`
	Row         int64   `json:"row"` // in its file, from 0
	Kernel      string  `json:"kernel"`
	Network     string  `json:"network"`
	Rule415     string  `json:"rule_4_15"`
	RuleCFS     string  `json:"rule_cfs"`
	Probability float64 `json:"probability"` // of "migrate", as the network has it
	Loss        float64 `json:"loss"`
	Load        string  `json:"load"`
	Tag         string  `json:"tag"`
	Text        string  `json:"text"`

	Outside []string `json:"outside_training_range,omitempty"` // features
}

// mistakes keeps the most costly, in the order of their cost and then of their
// appearance.
type mistakes struct {
	most int
	kept []*Mistake
}

func (m *mistakes) add(path string, n int64, r *dataset.Row, logit float64, said [numJudges]uint8, outside func() []string) {
	y := answer(r.Migrate)
	cost := mlp.CrossEntropy(logit, y)
	at, _ := slices.BinarySearchFunc(m.kept, cost, func(k *Mistake, cost float64) int {
		if k.Loss >= cost {
			return -1
		}
		return 1
	})
	if at >= m.most {
		return
	}
	if len(m.kept) == m.most {
		m.kept = m.kept[:m.most-1]
	}
	m.kept = slices.Insert(m.kept, at, &Mistake{
		File: path, Row: n, Kernel: labels[y], Network: labels[said[judgeFixed]], Rule415: labels[said[judge415]], RuleCFS: labels[said[judgeCFS]],
		Probability: sigmoid(logit), Loss: cost, Load: r.Run.Load, Tag: r.Run.Tag, Text: dataset.Explain(r), Outside: outside(),
	})
}
