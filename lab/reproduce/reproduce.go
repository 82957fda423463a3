// SPDX-License-Identifier: Apache-2.0

// Package reproduce repeats the paper (Chen et al., APSys '20) from nothing to a
// report: it boots the paper's machine as guests, records what the kernel
// decides, trains and judges as the paper did and as it should have, puts live
// decisions to the model, and writes the paper's numbers beside its own.
//
// Each step leaves its result as a file named after all that it depends on.
// Steps whose file is there are skipped, so the same command goes on wherever it
// was stopped, and a quick and a full reproduction share a directory.
package reproduce

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"mllb/internal/namedfile"
	"mllb/lab"
	"mllb/lab/record"
)

// Config says what to reproduce.
type Config struct {
	Dir     string   // of results and recordings
	Scale   Scale    //
	Data    []string // datasets to learn from; none: they are recorded
	Report  string   // the Markdown file to write; its figure goes beside it
	Command string   // that makes the report again
	Version string   // of this program
	Out     io.Writer

	Kernel func(ctx context.Context, notice func(string)) (lab.Kernel, error)                    // to boot
	Guest  func(ctx context.Context, kernel lab.Kernel, notice func(string)) (lab.Config, error) // all but shape and command

	boot func(context.Context, lab.Config) (lab.Result, error) // nil: lab.Run; tests have no guests
}

// Scale is how much is done.
type Scale struct {
	Name     string
	Records  []Recording
	Folds    int
	Epochs   int // at the most
	Live     uint64
	LivePart time.Duration // for one of the live loads, at the most, by the guest's clock
	expect   [numSteps]time.Duration
}

// Recording is runs of a profile.
type Recording struct {
	Profile  string        `json:"profile"`
	Shapes   []string      `json:"shapes,omitempty"` // nil: the profile's
	Seeds    int           `json:"seeds,omitempty"`  // 0: the profile's
	Records  uint64        `json:"records"`
	Duration time.Duration `json:"duration"`
	Only     []string      `json:"only,omitempty"` // of the runs; nil: all
}

// The steps.
const (
	stepKernel = iota
	stepPaper56
	stepPaper16
	stepDiverse
	stepCheck
	stepPaper
	stepFolds
	stepModel
	stepJudge
	stepMatrix
	stepLive
	stepReport
	numSteps
)

// step is one of them.
type step struct {
	title  string
	expect time.Duration
	run    func(s *session, ctx context.Context) error
}

var steps = [numSteps]step{
	stepKernel:  {title: "fetch the kernel", run: (*session).kernel},
	stepPaper56: {title: "record the paper's loads on 56 CPUs", run: func(s *session, ctx context.Context) error { return s.record(ctx, 0) }},
	stepPaper16: {title: "record the paper's loads on 16 CPUs", run: func(s *session, ctx context.Context) error { return s.record(ctx, 1) }},
	stepDiverse: {title: "record diverse loads", run: func(s *session, ctx context.Context) error { return s.record(ctx, 2) }},
	stepCheck:   {title: "replay the kernel's rule on the records", run: (*session).check},
	stepPaper:   {title: "the paper's procedure", run: (*session).paper},
	stepFolds:   {title: "runs held out whole", run: (*session).folds},
	stepModel:   {title: "train the models to evaluate", run: (*session).models},
	stepJudge:   {title: "evaluate", run: (*session).judge},
	stepMatrix:  {title: "train on one load, evaluate on another", run: (*session).matrices},
	stepLive:    {title: "live decisions", run: (*session).live},
	stepReport:  {title: "write the report", run: (*session).report},
}

// took is how long a step's result was in the making.
type took struct {
	Name    string
	Seconds float64
	Ended   time.Time
	Version string
	Skipped bool
}

// session is one call of Run: what the steps found so far.
type session struct {
	cfg      Config
	progress *stepsProgress
	times    []took

	host     lab.Kernel
	found    [3]recorded
	corpus   corpus
	studies  []study
	trained  trained
	judged   judged
	crossed  crossed
	observed []record.Observed
}

// Run does all steps, or those that are not done.
func Run(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(filepath.Dir(cfg.Report), 0o755); err != nil {
		return err
	}
	if err := namedfile.Check(cfg.Report, cfg.Data...); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	s := &session{cfg: cfg}
	list := slices.Clone(steps[:])
	for i := range list {
		if list[i].expect = cfg.Scale.expect[i]; len(cfg.Data) > 0 && i >= stepPaper56 && i <= stepDiverse {
			list[i].expect = 0
		}
	}
	s.progress = newProgress(cfg.Out, list)
	defer s.progress.End()
	for i, step := range list {
		s.progress.begin(i)
		before := len(s.times)
		if err := step.run(s, ctx); err != nil {
			s.progress.Say("stopped at step %d of %d, %s; the same command resumes there", i+1, len(list), step.title)
			return err
		}
		skipped := true
		for _, t := range s.times[before:] {
			skipped = skipped && t.Skipped
		}
		s.progress.end(skipped)
	}
	s.progress.Say("%s", cfg.Report)
	return nil
}

// Series is the kernel that is learned from.
const Series = "6.12"

func (s *session) kernel(ctx context.Context) (err error) {
	s.host, err = s.cfg.Kernel(ctx, func(line string) { s.progress.tell(0, "%s", line) })
	return err
}

// recorded is what a recording gave.
type recorded struct {
	Files []string // in Config.Dir
	Runs  []record.Run
}

// record makes one of the recordings, unless data was given.
func (s *session) record(ctx context.Context, n int) (err error) {
	if len(s.cfg.Data) > 0 {
		return nil
	}
	want := s.cfg.Scale.Records[n]
	key := struct {
		Recording
		Kernel string `json:"kernel"`
	}{want, s.host.Release}
	s.found[n], err = once(s, "record-"+want.Profile, key, s.present, func() (recorded, error) {
		return s.recordNow(ctx, want)
	})
	return err
}

// present reports whether the files are still there.
func (s *session) present(r recorded) bool {
	for _, f := range r.Files {
		if !isFile(filepath.Join(s.cfg.Dir, f)) {
			return false
		}
	}
	return true
}

func (s *session) recordNow(ctx context.Context, want Recording) (got recorded, err error) {
	runs, err := want.plan()
	if err != nil {
		return got, err
	}
	guest, err := s.cfg.Guest(ctx, s.host, func(string) {})
	if err != nil {
		return got, err
	}
	guest.Timeout = guestLimit
	dir := filepath.Join("recordings", want.dir(s.host))
	rec := &record.Recorder{Dir: filepath.Join(s.cfg.Dir, dir), Guest: guest, Jobs: runtime.NumCPU(), Report: &recording{p: s.progress, runs: len(runs)}}
	if err := rec.All(ctx, runs); err != nil {
		return got, err
	}
	for _, r := range runs {
		got.Files = append(got.Files, filepath.Join(dir, filepath.Base(rec.Path(r))))
	}
	got.Runs = runs
	return got, nil
}

// guestLimit ends a guest that hangs.
const guestLimit = 30 * time.Minute

// String is the command that makes the recording alone.
func (r *Recording) String() string {
	text := fmt.Sprintf("mllb lab record --profile %s --records %d --duration %v", r.Profile, r.Records, r.Duration)
	if r.Seeds > 0 {
		text += fmt.Sprintf(" --seeds %d", r.Seeds)
	}
	for _, shape := range r.Shapes {
		text += " --topology " + shape
	}
	for _, run := range r.Only {
		text += " --only " + run
	}
	return text
}
