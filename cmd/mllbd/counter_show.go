// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"iter"
	"strings"

	"mllb/internal/number"
)

// shown are the rows that an output shows.
func shown(in show) iter.Seq[*counter] {
	return func(yield func(*counter) bool) {
		for i := range counterTable {
			if counterTable[i].key != "" && counterTable[i].show&in != 0 && !yield(&counterTable[i]) {
				return
			}
		}
	}
}

// total sums a counter over its labels.
func (r *counter) total(c *counters) (sum float64) {
	r.each(c, func(v float64, _ ...string) { sum += v })
	return sum
}

// since is how much a counter grew, or what a gauge is now.
func (r *counter) since(c, before *counters) float64 {
	if r.kind == gauge {
		return r.total(c)
	}
	return r.total(c) - r.total(before)
}

// list writes the counters of one unit that an output shows, for people. value
// writes one.
func list(in show, of unit, sep string, c *counters, value func(r *counter) string) string {
	var parts []string
	for r := range shown(in) {
		if r.unit == of && (r.show&ifAny == 0 || r.total(c) != 0) {
			parts = append(parts, strings.ReplaceAll(r.key, "_", " ")+" "+value(r))
		}
	}
	return strings.Join(parts, sep)
}

// withLabels is a counter's total and, of a family, what it consists of.
func (r *counter) withLabels(c *counters) string {
	text := number.Num(r.total(c)).String()
	if r.labels == nil {
		return text
	}
	var parts []string
	r.each(c, func(v float64, labels ...string) {
		if v != 0 {
			parts = append(parts, strings.Join(labels, " ")+" "+number.Num(v).String())
		}
	})
	if len(parts) == 0 {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(parts, ", "))
}

// logValue is a value for the log, which would write a float of a million as 1e+06.
func logValue(v float64) any {
	if n := int64(v); float64(n) == v {
		return n
	}
	return v
}
