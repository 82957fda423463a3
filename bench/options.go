// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"io"
	"time"

	"mllb/bench/workload"
)

// Options say how and where a benchmark is run; what is run is in Config.
type Options struct {
	Dir      string // of results
	Self     string // the mllb binary
	Mllbd    string // the daemon; "": no arm has it
	StateDir string // of mllbd; "": its own default
	Anew     bool   // remove the results that are in Dir
	Version  string
	Limit    time.Duration // for one run
	Commands []*workload.Command
	Skipped  []Skipped
	Out      io.Writer // progress
}
