// SPDX-License-Identifier: Apache-2.0

package eval

import "math"

// Agreement is what rounding the network to Q21.11 costs.
type Agreement struct {
	Same    int    `json:"same_answer"`
	Share   Figure `json:"same_share"`
	Largest Figure `json:"largest_logit_difference"`
	RMS     Figure `json:"rms_logit_difference"`
}

type agreement struct {
	rows, same       int
	largest, squares float64
}

func (a *agreement) add(float, fixed float64, same bool) {
	a.rows++
	if same {
		a.same++
	}
	d := math.Abs(float - fixed)
	a.largest = max(a.largest, d)
	a.squares += d * d
}

func (a *agreement) result() Agreement {
	return Agreement{a.same, share(a.same, a.rows), Figure(a.largest), Figure(math.Sqrt(a.squares / float64(a.rows)))}
}
