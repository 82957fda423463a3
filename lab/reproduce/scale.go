// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"fmt"
	"os"
	"slices"
	"time"

	"mllb/lab"
	"mllb/lab/record"
)

// Full takes hours on two cores.
var Full = Scale{
	Name: "full",
	Records: []Recording{
		{Profile: "paper", Records: 30_000, Duration: 5 * time.Minute},
		{Profile: "paper", Shapes: []string{"2x4x2"}, Seeds: 3, Records: 90_000, Duration: 5 * time.Minute},
		{Profile: "diverse", Records: 650_000, Duration: 90 * time.Second},
	},
	Folds: 10, Epochs: 1000, Live: 30_000, LivePart: 5 * time.Minute,
	expect: [numSteps]time.Duration{
		stepKernel: time.Minute, stepPaper56: 20 * time.Minute, stepPaper16: 30 * time.Minute, stepDiverse: 100 * time.Minute,
		stepCheck: 10 * time.Second, stepPaper: 6 * time.Minute, stepFolds: 25 * time.Minute, stepModel: 3 * time.Minute,
		stepJudge: time.Minute, stepMatrix: 8 * time.Minute, stepLive: 10 * time.Minute, stepReport: time.Second,
	},
}

// Quick takes a quarter of an hour.
var Quick = Scale{
	Name: "quick",
	Records: []Recording{
		{Profile: "paper", Records: 9_000, Duration: 30 * time.Second},
		{Profile: "paper", Shapes: []string{"2x4x2"}, Seeds: 1, Records: 9_000, Duration: 20 * time.Second},
		{Profile: "diverse", Shapes: []string{"2x2x2"}, Seeds: 1, Records: 150_000, Duration: 15 * time.Second, Only: []string{
			"2x2x2-idle-10+fast+hot-s1", "2x2x2-idle-25+fast+hot-s1", "2x2x2-bursts-50+fast+hot-s1", "2x2x2-slices-50+fast+hot-s1",
			"2x2x2-slices-200-s1", "2x2x2-mixed-100+fast-s1", "2x2x2-mixed-200+fast+hot+buddy-s1", "2x2x2-memory-100+fast+hot+scan-s1",
			"2x2x2-memory-200+fast+scan-s1", "2x2x2-nice-200+fast+hot-s1", "2x2x2-throttled-100+fast+hot+scan-s1", "2x2x2-pinned-100+fast+hot+buddy-s1",
		}},
	},
	Folds: 10, Epochs: 250, Live: 3_000, LivePart: 25 * time.Second,
	expect: [numSteps]time.Duration{
		stepKernel: 30 * time.Second, stepPaper56: 150 * time.Second, stepPaper16: 60 * time.Second, stepDiverse: 200 * time.Second,
		stepCheck: 2 * time.Second, stepPaper: 15 * time.Second, stepFolds: 45 * time.Second, stepModel: 10 * time.Second,
		stepJudge: 5 * time.Second, stepMatrix: 15 * time.Second, stepLive: 120 * time.Second, stepReport: time.Second,
	},
}

// liveShape is the machine of the live decisions.
const liveShape = "2x4x2"

// liveLoads are what it is put under, each for its share of the decisions, the
// last for what is left. Tunings stay for the loads that follow.
var liveLoads = []record.Run{
	{Workload: record.Stressors, Load: 200},
	{Workload: "idle", Load: 25, Tuning: []string{"fast"}},
	{Workload: "slices", Load: 100},
	{Workload: "memory", Load: 100, Tuning: []string{"scan"}},
	{Workload: "pinned", Load: 100, Tuning: []string{"buddy"}},
	{Workload: "mixed", Load: 200, Tuning: []string{"hot"}},
}

// liveSeed is of loads that nothing was learned from.
const liveSeed = 1000

// livePlan is the runs of the live step.
func (s Scale) livePlan() ([]record.Run, error) {
	shape, err := lab.ParseShape(liveShape)
	if err != nil {
		return nil, err
	}
	runs := slices.Clone(liveLoads)
	for i := range runs {
		r := &runs[i]
		r.Profile, r.Seed, r.Series, r.Shape, r.Duration = "live", liveSeed, Series, shape, s.LivePart
		r.Records = (s.Live + uint64(len(runs)) - 1) / uint64(len(runs))
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("live run %s: %w", r.Name(), err)
		}
	}
	runs[len(runs)-1].Duration *= 3
	return runs, nil
}

// plan makes the runs of a recording.
func (r Recording) plan() ([]record.Run, error) {
	at := slices.IndexFunc(record.Profiles(), func(p record.Profile) bool { return p.Name == r.Profile })
	if at < 0 {
		return nil, fmt.Errorf("unknown profile %q", r.Profile)
	}
	choice := record.Choice{Series: Series, Shapes: r.Shapes, Seeds: r.Seeds, Records: r.Records, Duration: r.Duration}
	all := r
	all.Only = nil
	choice.Recipe = all.String()
	runs, err := record.Profiles()[at].Plan(choice)
	if err != nil || r.Only == nil {
		return runs, err
	}
	for _, name := range r.Only {
		if !slices.ContainsFunc(runs, func(x record.Run) bool { return x.Name() == name }) {
			return nil, fmt.Errorf("profile %s has no run %s", r.Profile, name)
		}
	}
	return slices.DeleteFunc(runs, func(x record.Run) bool { return !slices.Contains(r.Only, x.Name()) }), nil
}

// dir names a recording's directory.
func (r Recording) dir(k lab.Kernel) string {
	return fmt.Sprintf("%s-%s-%s", k.Release, r.Profile, hashed([]byte(r.String())))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
