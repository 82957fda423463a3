// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"mllb/lab"
	"mllb/lab/record"
)

type labRecordCmd struct {
	Profile  string        `required:"" enum:"paper,diverse" placeholder:"NAME" help:"Loads to record: ${enum}; see below."`
	Out      string        `required:"" placeholder:"DIR" help:"Directory of the files, one per run. Runs whose file exists are skipped."`
	Records  uint64        `default:"100000" placeholder:"N" help:"Total number of usable records to aim for. A run ends at the first report, one every 5 s, that reaches its share; busy runs give several times theirs."`
	Duration time.Duration `default:"5m" help:"Time limit for the load of one run, by the guest's clock, however few its records."`
	Seeds    int           `placeholder:"N" help:"Number of times to run the profile, each with a different seed. Default: the profile's."`
	Topology []string      `placeholder:"SHAPE" help:"Machines to use in turn for the seeds. Repeatable. Default: the profile's."`
	Only     []string      `sep:"none" placeholder:"RUN" help:"Make only this run. Repeatable."`
	List     bool          `help:"Print the runs and the number of records of each, and exit."`
	Jobs     int           `placeholder:"N" help:"Number of guests at a time. Default: one per CPU."`
	Memory   int           `placeholder:"MIB" help:"Memory of a guest in MiB. Default: 1024 per node."`
	Accel    string        `default:"auto" enum:"auto,kvm,tcg" help:"As in lab run."`
	Tries    int           `default:"3" help:"As in lab run."`
	Timeout  time.Duration `default:"30m" help:"Time limit for one whole guest, by the host's clock."`
	Cache    string        `placeholder:"DIR" help:"As in lab run."`
	kernelFlag
}

// Help documents what flags cannot.
func (labRecordCmd) Help() string {
	var b strings.Builder
	b.WriteString("Each run is one load in a guest of its own, recorded by mllb collect. Profiles:\n")
	for _, p := range record.Profiles() {
		fmt.Fprintf(&b, "  %-8s %s\n", p.Name, p.Help)
	}
	b.WriteString("If it is interrupted, the same command resumes with the missing runs.")
	return b.String()
}

// Run makes the runs.
func (c *labRecordCmd) Run(ctx context.Context, out output) error {
	return labFailed(ctx, c.run(ctx, out))
}

func (c *labRecordCmd) run(ctx context.Context, out output) error {
	runs, err := c.plan(out.stderr)
	if err != nil {
		return err
	}
	if c.List {
		for _, r := range runs {
			fmt.Fprintf(out.stdout, "%s\t%d\n", r.Name(), r.Records)
		}
		return nil
	}
	rec, err := c.recorder(ctx, out, runs)
	if err != nil {
		return err
	}
	report := newRecordReport(out, len(runs))
	defer report.bar.End()
	rec.Report = report
	return rec.All(ctx, runs)
}

// plan makes the runs of the profile, or those that were asked for.
func (c *labRecordCmd) plan(stderr io.Writer) ([]record.Run, error) {
	at := slices.IndexFunc(record.Profiles(), func(p record.Profile) bool { return p.Name == c.Profile })
	if c.Seeds < 0 || c.Records < 1 || c.Duration <= 0 || c.Jobs < 0 {
		return nil, usagef("--records and --duration must be above 0, --seeds and --jobs not below")
	}
	runs, err := record.Profiles()[at].Plan(record.Choice{
		Series: c.Kernel, Shapes: c.Topology, Seeds: c.Seeds, Records: c.Records, Duration: c.Duration, Recipe: c.recipe(),
	})
	if err != nil {
		return nil, usageError{err}
	}
	if len(c.Only) == 0 {
		return runs, nil
	}
	for i, name := range c.Only {
		if now, renamed := record.Renamed(name); renamed {
			warnRenamed(stderr, name, now)
			name, c.Only[i] = now, now
		}
		if !slices.ContainsFunc(runs, func(r record.Run) bool { return r.Name() == name }) {
			return nil, usagef("--only %s: no such run (--list prints them)", name)
		}
	}
	return slices.DeleteFunc(runs, func(r record.Run) bool { return !slices.Contains(c.Only, r.Name()) }), nil
}

// recipe is the command line that makes these runs, but for places.
func (c *labRecordCmd) recipe() string {
	s := fmt.Sprintf("mllb lab record --profile %s --kernel %s --records %d --duration %v", c.Profile, c.Kernel, c.Records, c.Duration)
	if c.Seeds > 0 {
		s += fmt.Sprintf(" --seeds %d", c.Seeds)
	}
	for _, t := range c.Topology {
		s += " --topology " + t
	}
	return s
}

func (c *labRecordCmd) recorder(ctx context.Context, out output, runs []record.Run) (*record.Recorder, error) {
	if err := checkDir("--out", c.Out); err != nil {
		return nil, err
	}
	flags := labFlags{Topology: "1x1x1", Memory: c.Memory, Accel: c.Accel, Threads: "single", Cache: c.Cache, Tries: c.Tries}
	cfg, err := flags.guest(ctx, out, c.Kernel, placeFlags{})
	if err != nil {
		return nil, err
	}
	needs := slices.ContainsFunc(runs, func(r record.Run) bool { return r.Workload == record.Stressors })
	if needs && !slices.ContainsFunc(cfg.Files, func(f lab.File) bool { return f.Guest == "/bin/stress-ng" }) {
		return nil, errors.New("stress-ng is not in PATH; install Debian's package stress-ng")
	}
	cfg.Timeout = c.Timeout
	if c.Jobs == 0 {
		c.Jobs = runtime.NumCPU()
	}
	return &record.Recorder{Dir: c.Out, Guest: cfg, Jobs: c.Jobs}, nil
}

// labRecordRunCmd is the part of a run that is in the guest.
type labRecordRunCmd struct {
	Spec string `arg:"" help:"The run, as JSON."`
}

// Run is called in the guest.
func (c *labRecordRunCmd) Run(ctx context.Context, out output) error {
	if os.Getenv("MLLB_LAB") == "" {
		return usageError{errors.New("lab record-run runs in guests only: it changes kernel settings and kills processes")}
	}
	r, err := record.Decode(c.Spec)
	if err != nil {
		return usageError{err}
	}
	return record.Guest(ctx, r, out.stdout, out.stderr)
}
