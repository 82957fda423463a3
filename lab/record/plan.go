// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"time"

	"mllb/lab"
)

// cell is a workload at some loads under some tunings.
type cell struct {
	workload string
	loads    []int
	tunings  [][]string
	share    int // of the records, against the other cells
}

// Profile is a plan without the numbers that a user chooses.
type Profile struct {
	Name, Help string
	shapes     []string // seeds take turns
	seeds      int
	cells      []cell
}

var (
	plain  = []string(nil)
	fast   = []string{"fast"}
	hot    = []string{"fast", "hot"}
	scan   = []string{"fast", "scan"}
	cold   = []string{"fast", "hot", "scan"}
	buddy  = []string{"fast", "buddy"}
	buddy5 = []string{"fast", "hot", "buddy"}
)

// profiles is data: what is recorded, and how much of each.
var profiles = []Profile{
	{
		Name: "paper", Help: "the paper's stress-ng loads of about 50, 100 and 200 % on its 56 CPUs, default kernel settings",
		shapes: []string{"2x14x2"}, seeds: 1,
		cells: []cell{{Stressors, []int{50, 100, 200}, [][]string{plain}, 1}},
	},
	{
		Name: "diverse", Help: "nearly idle to overloaded, short slices, memory-bound, priorities, quotas, next buddies, pinning; three machines",
		shapes: []string{"2x4x2", "2x2x2", "4x2x2"}, seeds: 3,
		cells: []cell{
			{Stressors, []int{50, 100, 200}, [][]string{plain, fast}, 2},
			{"idle", []int{10, 25}, [][]string{plain, hot}, 1},
			{"bursts", []int{50, 100, 200}, [][]string{plain, hot}, 2},
			{"slices", []int{50, 100, 200}, [][]string{plain, hot}, 2},
			{"mixed", []int{100, 200}, [][]string{fast, buddy5}, 2},
			{"memory", []int{50, 100, 200}, [][]string{scan, cold}, 3},
			{"nice", []int{100, 200}, [][]string{fast, hot}, 2},
			{Throttled, []int{100, 200}, [][]string{fast, cold}, 2},
			{"pinned", []int{100, 200}, [][]string{buddy, buddy5}, 2},
			{"forks", []int{100, 200}, [][]string{plain, hot}, 1},
		},
	},
}

// Profiles returns all profiles.
func Profiles() []Profile { return profiles }

// Choice is what a user chooses of a plan.
type Choice struct {
	Series   string
	Shapes   []string      // "": the profile's
	Seeds    int           // 0: the profile's
	Records  uint64        // usable ones, of the whole plan
	Duration time.Duration // of one run at the most
	Recipe   string        // the command line, to which the run is added
}

// Plan makes the runs. Each has its share of the records, and none waits for
// them longer than the duration: a host that is nearly idle decides little.
func (p Profile) Plan(c Choice) ([]Run, error) {
	if len(c.Shapes) == 0 {
		c.Shapes = p.shapes
	}
	if c.Seeds == 0 {
		c.Seeds = p.seeds
	}
	var runs []Run
	shares, all := []int{}, 0
	for seed := 1; seed <= c.Seeds; seed++ {
		shape, err := lab.ParseShape(c.Shapes[(seed-1)%len(c.Shapes)])
		if err != nil {
			return nil, err
		}
		for _, cell := range p.cells {
			for _, load := range cell.loads {
				for _, tuning := range cell.tunings {
					runs = append(runs, Run{Profile: p.Name, Workload: cell.workload, Load: load, Tuning: tuning,
						Seed: uint64(seed), Series: c.Series, Shape: shape, Duration: c.Duration})
					shares, all = append(shares, cell.share), all+cell.share
				}
			}
		}
	}
	for i := range runs {
		r := &runs[i]
		r.Records = (c.Records*uint64(shares[i]) + uint64(all) - 1) / uint64(all)
		r.Recipe = fmt.Sprintf("%s --only %s", c.Recipe, r.Name())
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("profile %s: run %s: %w", p.Name, r.Name(), err)
		}
	}
	return runs, nil
}
