// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// Histogram counts durations in log-linear buckets.
type Histogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Max     time.Duration `json:"max_ns"`
	Buckets []Bucket      `json:"buckets"` // those that are not empty, ascending
}

// Bucket holds the durations from From up to, but not including, To.
type Bucket struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
	N    uint64        `json:"n"`
}
