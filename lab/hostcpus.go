// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// ParseHostCPUs reads "0,0,1,1", the host CPU of each of n guest CPUs, of which
// this process must be allowed to use every one.
func ParseHostCPUs(list string, n int, allowed topology.CPUSet) ([]int, error) {
	words := strings.Split(list, ",")
	if len(words) != n {
		return nil, fmt.Errorf("%q names %d host CPUs, the guest has %d", list, len(words), n)
	}
	cpus := make([]int, n)
	for i, word := range words {
		cpu, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q: %q is not the number of a CPU", list, word)
		}
		if cpus[i] = int(cpu); !allowed.Has(cpus[i]) {
			return nil, fmt.Errorf("%q: this process may not use host CPU %d, only %s", list, cpu, allowed)
		}
	}
	return cpus, nil
}

// AllowedCPUs are those on which this process may run.
func AllowedCPUs() (topology.CPUSet, error) {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return topology.CPUSet{}, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var set topology.CPUSet
	for cpu := range len(mask) * 64 {
		if mask.IsSet(cpu) {
			set.Add(cpu)
		}
	}
	return set, nil
}

// CheckTruth says where the host CPUs of a guest do not make it what truth says:
// guest CPUs of one core must share a host CPU or at least its core, others must
// not.
func CheckTruth(truth Shape, hostCPUs []int, host *topology.Topology) error {
	for a := range hostCPUs {
		for b := range a {
			siblings := a/truth.Threads == b/truth.Threads
			x, y := hostCPUs[b], hostCPUs[a]
			shared := x == y || host.CPUs[x].Core == host.CPUs[y].Core
			switch {
			case siblings && !shared:
				return fmt.Errorf("in %s, CPUs %d and %d share a core; host CPUs %d and %d do not", truth, b, a, x, y)
			case shared && !siblings:
				return fmt.Errorf("in %s, CPUs %d and %d do not share a core; host CPUs %d and %d do", truth, b, a, x, y)
			}
		}
	}
	return nil
}

// pin binds each thread to a host CPU.
func pin(tids, hostCPUs []int) error {
	for i, tid := range tids {
		var mask unix.CPUSet
		mask.Set(hostCPUs[i])
		if err := unix.SchedSetaffinity(tid, &mask); err != nil {
			return fmt.Errorf("pin guest CPU %d to host CPU %d: %w", i, hostCPUs[i], err)
		}
	}
	return nil
}
