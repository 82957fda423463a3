// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mllb/internal/version"
	"mllb/lab"
	"mllb/lab/reproduce"
)

type reproduceCmd struct {
	Dir    string   `default:"reproduction" placeholder:"DIR" help:"Directory of results and recordings (${default}). Finished steps are not repeated."`
	Quick  bool     `help:"A quarter of an hour instead of hours: fewer and shorter runs, 3,000 live decisions."`
	Report string   `default:"docs/REPRODUCTION.md" placeholder:"FILE" help:"The report to write (${default})."`
	Data   []string `sep:"none" placeholder:"FILE" help:"Dataset to learn from instead of recording. Repeatable. Default, unless --quick or --record: those in data/, if any."`
	Record bool     `help:"Record, even if data/ has datasets."`
	Cache  string   `placeholder:"DIR" help:"Cache of kernels and built programs. Default: mllb in the user's cache directory."`
	Accel  string   `default:"auto" enum:"auto,kvm,tcg" help:"As in lab run."`
}

// Help documents what flags cannot.
func (reproduceCmd) Help() string {
	return `Boots guests shaped like the paper's machine, records the kernel's decisions, trains and evaluates as the
paper did and with whole runs held out, compares the model with live decisions, and writes a report with
the paper's numbers next to the measured ones. If it is interrupted, the same command resumes.`
}

// corpusGlob is the datasets of this repository, named after kernels.
const corpusGlob = "data/[0-9]*.parquet"

// Run reproduces.
func (c *reproduceCmd) Run(ctx context.Context, out output) error {
	cfg, err := c.config(out)
	if err != nil {
		return err
	}
	err = reproduce.Run(ctx, cfg)
	var command *lab.ExitError
	if errors.As(err, &command) {
		err = errors.New(err.Error()) // a command of ours in a guest, whose status is not this one's
	}
	return labFailed(ctx, err)
}

func (c *reproduceCmd) config(out output) (reproduce.Config, error) {
	if c.Record && len(c.Data) > 0 {
		return reproduce.Config{}, usagef("reproduce: --data and --record exclude each other")
	}
	cfg := reproduce.Config{Dir: c.Dir, Scale: reproduce.Full, Data: c.Data, Report: c.Report, Command: c.command(), Version: version.Read().String(), Out: out.stderr}
	if c.Quick {
		cfg.Scale = reproduce.Quick
	}
	if !c.Quick && !c.Record && len(c.Data) == 0 {
		var err error
		if cfg.Data, err = filepath.Glob(corpusGlob); err != nil {
			return cfg, err
		}
	}
	for _, f := range cfg.Data {
		if _, err := os.Stat(f); err != nil {
			return cfg, usageError{err}
		}
	}
	flags := labFlags{Topology: "1x1x1", Accel: c.Accel, Threads: "single", Cache: c.Cache, Tries: 3}
	cfg.Kernel = func(ctx context.Context, notice func(string)) (lab.Kernel, error) {
		cache, err := flags.cacheDir()
		if err != nil {
			return lab.Kernel{}, err
		}
		k, err := lab.FindKernel(cache, reproduce.Series)
		if errors.Is(err, lab.ErrNoKernel) {
			k, err = lab.Fetch(ctx, cache, reproduce.Series, notice)
		}
		return k, err
	}
	cfg.Guest = func(ctx context.Context, kernel lab.Kernel, notice func(string)) (lab.Config, error) {
		guest, err := flags.config(out)
		if err != nil {
			return guest, err
		}
		guest.Notice = notice
		if err := flags.kernel(ctx, &guest, reproduce.Series); err != nil {
			return guest, err
		}
		if err := flags.programs(ctx, &guest); err != nil {
			return guest, err
		}
		for _, program := range []string{"/bin/mllbd", "/bin/stress-ng"} {
			if !has(guest.Files, program) {
				return guest, errors.New(filepath.Base(program) + " is missing; the recordings need it (stress-ng: install Debian's package stress-ng)")
			}
		}
		return guest, nil
	}
	return cfg, nil
}

func has(files []lab.File, guest string) bool {
	for _, f := range files {
		if f.Guest == guest {
			return true
		}
	}
	return false
}

// command is the command line but for places.
func (c *reproduceCmd) command() string {
	s := "mllb reproduce"
	if c.Quick {
		s += " --quick"
	}
	if c.Record {
		s += " --record"
	}
	if n := len(c.Data); n > 0 {
		s += fmt.Sprintf(" --data FILE (%d of them)", n)
	}
	return s
}

// reproduceLiveCmd is the part of the live step that is in the guest.
type reproduceLiveCmd struct {
	Model string `required:"" help:"The network."`
	Spec  string `arg:"" help:"The runs, as JSON."`
}

// Run is called in the guest.
func (c *reproduceLiveCmd) Run(ctx context.Context, out output) error {
	if os.Getenv("MLLB_LAB") == "" {
		return usageError{errors.New("reproduce-live runs in guests only: it changes kernel settings and kills processes")}
	}
	return reproduce.Live(ctx, c.Spec, c.Model, out.stdout, out.stderr)
}
