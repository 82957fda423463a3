// SPDX-License-Identifier: Apache-2.0

// Package record makes datasets of what a stock kernel decides: a plan of runs,
// each a workload in a guest of its own recorded by `mllb collect`.
//
// Workloads and what they draw follow from a seed. The records do not: which
// moves a kernel considers depends on when each thread ran, so a plan that is
// run twice gives two datasets of the same kind.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mllb/lab"
	"mllb/lab/stress"
)

// Run is one recording.
type Run struct {
	Profile  string        `json:"profile"`
	Workload string        `json:"workload"` // a kind of package stress, Stressors or Throttled
	Load     int           `json:"load"`     // percent of the CPUs
	Tuning   []string      `json:"tuning"`   // names of Tunings
	Seed     uint64        `json:"seed"`
	Series   string        `json:"series"` // of the kernel, or its path
	Shape    lab.Shape     `json:"shape"`
	Records  uint64        `json:"records"`  // end at the first report, one every 5 s, of so many usable ones
	Duration time.Duration `json:"duration"` // or after so long by the guest's clock
	Recipe   string        `json:"recipe"`   // the command that makes this run
}

// Workloads other than those of package stress.
const (
	Stressors = "stress-ng" // stress-ng --cpu, as in the paper
	Throttled = "throttled" // half the threads in a cgroup with a quota
)

// Name is unique in a plan and fit for a file: 2x4x2-slices-200+fast-s1.
func (r Run) Name() string {
	s := fmt.Sprintf("%s-%s-%d", r.Shape, r.Workload, r.Load)
	for _, t := range r.Tuning {
		s += "+" + t
	}
	return s + "-s" + strconv.FormatUint(r.Seed, 10)
}

// formerName is the run's Name in directories recorded before its workload got
// the name that it has.
func (r Run) formerName() string {
	r.Workload = stress.Former(r.Workload)
	return r.Name()
}

// Renamed returns today's Name of a run that recorded data and their command
// lines know by a former one.
func Renamed(former string) (name string, ok bool) {
	shape, rest, _ := strings.Cut(former, "-")
	workload, rest, _ := strings.Cut(rest, "-")
	if workload, ok = stress.Renamed(workload); !ok {
		return former, false
	}
	return shape + "-" + workload + "-" + rest, true
}

// Tag stands in each row: the workload and how the kernel was tuned.
func (r Run) Tag() string { return strings.Join(append([]string{r.Workload}, r.Tuning...), "+") }

// paperStressors is what the paper ran on 56 CPUs for loads of "about" 50, 100
// and 200 %: 30, 60 and 120 (section 4.1).
const paperStressors = 60.0 / 56

// Threads is how many make the load: more where each wants a CPU only for part
// of the time.
func (r Run) Threads() int {
	n := float64(r.Shape.CPUs()) * float64(r.Load) / 100
	if r.Workload == Stressors {
		n *= paperStressors
	} else if k, err := stress.Find(r.Workload); err == nil {
		n /= k.Duty
	}
	return max(1, int(math.Round(n)))
}

// procs spreads the threads of every other seed over processes: threads of one
// share their memory and, to the kernel, a NUMA group.
func (r Run) procs() int {
	if r.Seed%2 == 1 {
		return 1
	}
	return max(1, r.Threads()/4)
}

// load is one process tree of a run.
type load struct {
	args  []string
	quota bool // in the cgroup that is throttled
}

// loads are the commands that make the load.
func (r Run) loads() []load {
	spec := stress.Spec{Kind: r.Workload, Threads: r.Threads(), Procs: r.procs(), Seed: r.Seed}
	mllb := func(s stress.Spec) []string { return append([]string{"mllb"}, s.Args()...) }
	switch r.Workload {
	case Stressors:
		return []load{{args: []string{"stress-ng", "--quiet", "--seed", strconv.FormatUint(r.Seed, 10), "--cpu", strconv.Itoa(r.Threads())}}}
	case Throttled:
		spec.Kind, spec.Procs = "bursts", 1
		free := spec
		free.Threads = (spec.Threads + 1) / 2
		spec.Threads, spec.Seed = max(1, spec.Threads/2), spec.Seed+1<<16
		return []load{{args: mllb(free)}, {args: mllb(spec), quota: true}}
	}
	return []load{{args: mllb(spec)}}
}

// Validate says what is wrong with a run.
func (r Run) Validate() error {
	if r.Load < 1 || r.Load > 1000 {
		return fmt.Errorf("load of %d %% is not in 1..1000", r.Load)
	}
	for _, t := range r.Tuning {
		if _, ok := tunings[t]; !ok {
			return fmt.Errorf("unknown tuning %q", t)
		}
	}
	if r.Records == 0 && r.Duration <= 0 {
		return errors.New("the run needs a number of records or a duration")
	}
	if r.Workload == Stressors || r.Workload == Throttled {
		return nil
	}
	return stress.Spec{Kind: r.Workload, Threads: r.Threads(), Procs: r.procs()}.Validate()
}

// encode and decode carry a run into the guest.
func (r Run) encode() (string, error) {
	b, err := json.Marshal(r)
	return string(b), err
}

// Decode reads what the host told the guest.
func Decode(text string) (Run, error) {
	var r Run
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("run: %w", err)
	}
	if err := r.Validate(); err != nil {
		return r, fmt.Errorf("run %s: %w", r.Name(), err)
	}
	return r, nil
}
