// SPDX-License-Identifier: Apache-2.0

// Package number writes the numbers of reports, all by one rule:
//
//   - What cannot be told, such as a share of nothing, is NaN or infinite. It is
//     "-" for a person and null in JSON.
//   - A number has four significant digits; a whole one has all of its digits.
//   - Numbers to be compared down a column (ratios, p values) have as many
//     decimals as the column does.
//   - A share of 1 is a percentage, with " %" behind it unless the column's head
//     says so. What is not all does not read "100 %".
//   - A count has a comma every three digits.
package number

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Num is a number that may be unknown.
type Num float64

// Unknown is what cannot be told.
var Unknown = Num(math.NaN())

// Known says whether it is a number.
func (n Num) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON writes null for what JSON has no number for.
func (n Num) MarshalJSON() ([]byte, error) {
	if !n.Known() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON reads null as unknown.
func (n *Num) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Unknown
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// maxWhole bounds the whole numbers of which a float64 has all digits.
const maxWhole = 1 << 53

// String writes four significant digits.
func (n Num) String() string {
	x := math.Abs(float64(n))
	switch {
	case !n.Known():
		return "-"
	case x < maxWhole && x == math.Trunc(x):
		return n.Fixed(0)
	case x < 1e-3 || x >= maxWhole:
		return strconv.FormatFloat(float64(n), 'g', 4, 64)
	}
	return n.Fixed(max(0, 3-int(math.Floor(math.Log10(x)))))
}

// Fixed writes so many decimals. What is rounded to zero has no sign.
func (n Num) Fixed(decimals int) string {
	if !n.Known() {
		return "-"
	}
	s := strconv.FormatFloat(float64(n), 'f', decimals, 64)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

// Points writes a share in percent, without the sign.
func (n Num) Points(decimals int) string {
	x := 100 * n
	if x < 100 {
		x = min(x, 100-Num(math.Pow10(-decimals)))
	}
	return x.Fixed(decimals)
}

// Percent writes a share in percent.
func (n Num) Percent(decimals int) string {
	if !n.Known() {
		return "-"
	}
	return n.Points(decimals) + " %"
}

// Share is a part of a count, unknown if that is 0.
func Share[T int | int64 | uint64](part, of T) Num {
	if of == 0 {
		return Unknown
	}
	return Num(part) / Num(of)
}

// Count writes 1234567 as 1,234,567.
func Count[T int | int64 | uint64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Of is a count of things: "1 thread", "2 threads". Words whose plural is another than
// with an s are not among them.
func Of[T int | int64 | uint64](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprint(n) + " " + thing + "s"
}
