// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math"

	"mllb/internal/number"
)

// Agreement is what rounding the network to Q21.11 costs.
type Agreement struct {
	Same    int        `json:"same_answer"`
	Share   number.Num `json:"same_share"`
	Largest number.Num `json:"largest_logit_difference"`
	RMS     number.Num `json:"rms_logit_difference"`
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
	return Agreement{a.same, number.Share(a.same, a.rows), number.Num(a.largest), number.Num(math.Sqrt(a.squares / float64(a.rows)))}
}
