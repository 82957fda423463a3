// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// share has a workload work with as many threads as percent of the CPUs, rounded,
// but with one at least.
func share(name, one, percent string, o Options) (*Command, error) {
	digits, ok := strings.CutSuffix(percent, "%")
	p, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || p < 1 || p > 10_000 {
		return nil, fmt.Errorf("workload %q: %q is not a share of the CPUs in 1%%..10000%%", name, percent)
	}
	o.Threads = max(1, (o.cpus()*int(p)+50)/100)
	c, err := Resolve(one, o)
	if err != nil {
		return nil, err
	}
	if c.Threads != o.Threads {
		return nil, fmt.Errorf("workload %q: %s has no number of threads to choose", name, one)
	}
	c.Name = name
	return c, nil
}
