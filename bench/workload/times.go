// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"fmt"
	"strconv"
)

// boundary is the line behind the output of each run.
const boundary = "mllb: end of run"

// script runs a command $0 times, and stops where one fails.
const script = `i=0; while [ $i -lt "$0" ]; do "$@" || exit; printf '\n` + boundary + `\n'; i=$((i+1)); done`

// times has a workload done several times in a row: where the inputs at hand
// are too small for the time of one run to mean anything.
func times(name, one, k string, o Options) (*Command, error) {
	n, err := strconv.Atoi(k)
	if err != nil || n < 1 || n > 1_000_000 {
		return nil, fmt.Errorf("workload %q: %q is not a number in 1..1000000", name, k)
	}
	c, err := Resolve(one, o)
	if err != nil {
		return nil, err
	}
	if c.Score != nil {
		return nil, fmt.Errorf("workload %q: %s runs for a fixed time; use --scale instead", name, one)
	}
	c.Name = name
	c.Argv = append([]string{"/bin/sh", "-c", script, k}, c.Argv...)
	c.Check = checkTimes(n, c.Check)
	return c, nil
}

// checkTimes has every run of n checked by itself.
func checkTimes(n int, check func([]byte) error) func([]byte) error {
	return func(stdout []byte) error {
		runs := bytes.Split(stdout, []byte("\n"+boundary+"\n"))
		if len(runs) != n+1 || len(bytes.TrimSpace(runs[n])) != 0 {
			return fmt.Errorf("%d of %d runs ended", len(runs)-1, n)
		}
		for i, out := range runs[:n] {
			if check == nil {
				break
			}
			if err := check(out); err != nil {
				return fmt.Errorf("run %d of %d: %w", i+1, n, err)
			}
		}
		return nil
	}
}
