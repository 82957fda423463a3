// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Num is a number that may be undefined, NaN or infinite, for which JSON has null.
type Num float64

var undefined = Num(math.NaN())

// Known says whether it is a number.
func (n Num) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON writes null for what JSON has no number for.
func (n Num) MarshalJSON() ([]byte, error) {
	if !n.Known() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON reads null as undefined.
func (n *Num) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = undefined
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// String writes about four digits.
func (n Num) String() string {
	switch x := float64(n); {
	case !n.Known():
		return "-"
	case x == math.Trunc(x) && math.Abs(x) < 1e7:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case math.Abs(x) < 1e-3 || math.Abs(x) >= 1e7:
		return strconv.FormatFloat(x, 'g', 3, 64)
	case math.Abs(x) >= 1000:
		return strconv.FormatFloat(x, 'f', 0, 64)
	default:
		return strconv.FormatFloat(x, 'f', max(0, 3-int(math.Floor(math.Log10(max(math.Abs(x), 0.1))))), 64)
	}
}

// ratio writes a ratio to stock.
func (n Num) ratio() string {
	if !n.Known() {
		return "-"
	}
	return strconv.FormatFloat(float64(n), 'f', 3, 64)
}

// interval writes what lies between two numbers.
func interval(lo, hi Num, write func(Num) string) string {
	if !lo.Known() && !hi.Known() {
		return "-"
	}
	return fmt.Sprintf("%s..%s", write(lo), write(hi))
}

// probability writes a p value.
func probability(p Num) string {
	switch {
	case !p.Known():
		return "-"
	case p < 0.001:
		return "<0.001"
	}
	return strconv.FormatFloat(float64(p), 'f', 3, 64)
}

// percent writes a share of 1 as x %.
func percent(share Num) string {
	if !share.Known() {
		return "-"
	}
	digits := 1
	if share < 0.01 {
		digits = 2
	}
	return strconv.FormatFloat(100*float64(share), 'f', digits, 64) + " %"
}
