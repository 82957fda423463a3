// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"

	"mllb/internal/number"
)

// ratio writes a ratio to stock.
func ratio(n number.Num) string { return n.Fixed(3) }

// interval writes what lies between two numbers.
func interval(lo, hi number.Num, write func(number.Num) string) string {
	if !lo.Known() && !hi.Known() {
		return "-"
	}
	return fmt.Sprintf("%s..%s", write(lo), write(hi))
}

// probability writes a p value.
func probability(p number.Num) string {
	if p < 0.001 {
		return "<0.001"
	}
	return p.Fixed(3)
}

// percent writes a share of the run.
func percent(share number.Num) string {
	if share < 0.01 {
		return share.Percent(2)
	}
	return share.Percent(1)
}
