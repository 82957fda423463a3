// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// Latency is how long functions took while they were watched: Figure 4.
type Latency struct {
	Kernel    string        `json:"kernel"` // uname -r
	CPUs      int           `json:"cpus"`   // online
	Wall      time.Duration `json:"wall_ns"`
	Functions []Function    `json:"functions"`
	// Probe is the same pair of programs around a function that does nothing:
	// what is in every duration by fentry beside the function itself.
	Probe   *Function `json:"probe,omitempty"`
	Missing []string  `json:"missing,omitempty"` // what could not be watched, and why
}

// Function is one function's calls.
type Function struct {
	Name string `json:"name"`
	// By is how it was timed: "fentry", or "user" for a function of mllb's own.
	By   string `json:"by"`
	Lost uint64 `json:"lost"` // calls without a duration
	Histogram
}
