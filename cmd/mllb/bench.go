// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"mllb/bench"
	"mllb/bench/workload"
	"mllb/internal/namedfile"
	"mllb/internal/version"
)

type benchCmd struct {
	Arms     []string      `placeholder:"ARM,..." help:"Arms to compare; see below. Default: stock,assist,own,own:never; for CMD: stock,assist,own. A comma within an arm is written \\,."`
	Workload []string      `sep:"none" placeholder:"NAME" help:"Workload to run. Repeatable. Default: fibo, spin, wakers, pipeline."`
	Runs     *int          `placeholder:"N" help:"Runs of each workload under each arm. Default: 20; for CMD: 10."`
	Warmup   int           `default:"1" placeholder:"N" help:"Warm-up rounds before them, which do not count (${default}). A run that fails in one ends the benchmark."`
	Prepare  string        `placeholder:"CMD" help:"Command for sh before each run, such as make clean. It is not measured; if it fails, the benchmark ends."`
	Threads  int           `placeholder:"N" help:"Threads of each workload. Default: its own."`
	Scale    float64       `default:"1" placeholder:"X" help:"Amount of work, relative to the default (${default})."`
	Parsec   string        `placeholder:"DIR" help:"Directory of a PARSEC 3.0 tree."`
	Input    string        `default:"native" placeholder:"SIZE" help:"PARSEC's input size (${default})."`
	Out      string        `placeholder:"DIR" help:"Result directory. The same command resumes with the runs that are missing there. Default: results; for CMD: a new one below it."`
	Seed     uint64        `default:"1" placeholder:"N" help:"Seed of the order of the runs (${default})."`
	Interval time.Duration `default:"100ms" help:"Time between samples of the queues (${default})."`
	Limit    time.Duration `default:"1h" help:"Time limit for one run (${default})."`
	Steady   int           `default:"0" placeholder:"PERCENT" help:"Wait while a CPU is more than PERCENT (1..99) slower than before, and repeat a run if one was, right before or after it. For shared hosts. Default: off."`
	Mllbd    string        `placeholder:"FILE" help:"The mllbd program. Default: next to this one, else in PATH."`
	StateDir string        `placeholder:"DIR" help:"State directory of mllbd, if not its default."`
	Force    bool          `help:"Discard the results in --out and start over. Without it, results of a different benchmark are an error."`
	Command  []string      `arg:"" optional:"" passthrough:"partial" name:"cmd" help:"Command to run as the workload, after --."`
}

// scratch is where workloads keep inputs, in the result directory.
const scratch = "scratch"

var (
	defaultWorkloads = []string{"fibo", "spin", "wakers", "pipeline"}
	defaultArms      = []string{"stock", "assist", "own", "own:never"}
	commandArms      = []string{"stock", "assist", "own"}
)

const (
	defaultOut  = "results"
	defaultRuns = 20
	commandRuns = 10
)

// Help documents what flags cannot.
func (benchCmd) Help() string {
	var b strings.Builder
	b.WriteString("Runs each workload under each arm, in random order, and reports which arms are slower or\nfaster than stock, and how small a difference could have been detected. For a command of your own:\nmllb bench -- make -j8\n\nArms:\n")
	for line := range strings.Lines(bench.ArmHelp) {
		b.WriteString("  " + line)
	}
	b.WriteString("\n\nWorkloads:\n")
	for _, w := range workload.Workloads() {
		fmt.Fprintf(&b, "  %-14s %s\n", w.Name, w.Help)
	}
	return b.String()
}

// Run benchmarks.
func (c *benchCmd) Run(ctx context.Context, out output) error {
	fresh := c.defaults()
	cfg, o, err := c.config(out)
	if err != nil {
		if fresh && c.Out != "" {
			_, _ = os.Remove(filepath.Join(c.Out, scratch)), os.Remove(c.Out) // if nothing is in them
		}
		return err
	}
	if fresh {
		fmt.Fprintf(out.stderr, "mllb bench: to resume it, repeat the command with --out %s\n", c.Out)
	}
	r, err := bench.Run(ctx, cfg, o)
	_ = os.Remove(filepath.Join(c.Out, scratch)) // if nothing is in it
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return &benchInterrupted{c.Out, fresh}
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if r, err = bench.Write(r.Dir); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := r.Draw(out.stdout); err != nil {
		return err
	}
	if _, err = fmt.Fprintf(out.stdout, "\nfigures: %s; report.json and runs.parquet are next to it\n", filepath.Join(c.Out, "report.html")); err != nil {
		return err
	}
	if err := r.Failure(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// defaults fills in what was not said, and says whether the directory of the results is
// to be a fresh one.
func (c *benchCmd) defaults() (fresh bool) {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	arms, runs := defaultArms, defaultRuns
	if len(c.Command) > 0 {
		arms, runs = commandArms, commandRuns
	}
	if len(c.Arms) == 0 {
		c.Arms = arms
	}
	if c.Runs == nil {
		c.Runs = &runs
	}
	fresh = c.Out == "" && len(c.Command) > 0
	if c.Out == "" && !fresh {
		c.Out = defaultOut
	}
	return fresh
}

// freshDir makes a directory for the results of a program that none has had before.
func freshDir(program string) (string, error) {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._", r)) {
			return r
		}
		return '-'
	}, filepath.Base(program)), ".-")
	name = cmp.Or(name, "command")
	if err := os.MkdirAll(defaultOut, 0o755); err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		dir := filepath.Join(defaultOut, fmt.Sprintf("%s-%d", name, n))
		if err := os.Mkdir(dir, 0o755); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

// benchInterrupted is ^C: the shell's status for it, and how to go on.
type benchInterrupted struct {
	dir   string
	fresh bool // the command did not name it
}

func (e *benchInterrupted) Error() string {
	if e.fresh {
		return "bench: interrupted and cleaned up; the same command with --out " + e.dir + " resumes it"
	}
	return "bench: interrupted and cleaned up; the same command resumes " + e.dir
}

func (*benchInterrupted) ExitCode() int { return 130 }

func (c *benchCmd) config(out output) (cfg bench.Config, o bench.Options, err error) {
	switch {
	case *c.Runs < 1 || *c.Runs > 10_000:
		return cfg, o, usagef("bench: --runs %d is not in 1..10000", *c.Runs)
	case c.Warmup < 0 || c.Warmup > 100:
		return cfg, o, usagef("bench: --warmup %d is not in 0..100", c.Warmup)
	case c.Threads < 0:
		return cfg, o, usagef("bench: --threads %d is below 0", c.Threads)
	case !(c.Scale > 0):
		return cfg, o, usagef("bench: --scale %g is not above 0", c.Scale)
	case c.Interval < time.Millisecond:
		return cfg, o, usagef("bench: --interval %v is below 1ms", c.Interval)
	case c.Steady < 0 || c.Steady > 99:
		return cfg, o, usagef("bench: --steady %d is not in 1..99 (0: off)", c.Steady)
	case c.Limit <= 0:
		return cfg, o, usagef("bench: --limit %v is not above 0", c.Limit)
	}
	cfg = bench.Config{Runs: *c.Runs, Warmup: c.Warmup, Seed: c.Seed, Interval: c.Interval.Seconds(), Prepare: c.Prepare, Steady: c.Steady, Programs: make(map[string]string)}
	if cfg.Arms, err = bench.ParseArms(c.Arms); err != nil {
		return cfg, o, usagef("bench: %w", err)
	}
	if c.Out == "" {
		if c.Out, err = freshDir(c.Command[0]); err != nil {
			return cfg, o, fmt.Errorf("bench: %w", err)
		}
	}
	o = bench.Options{Dir: c.Out, StateDir: c.StateDir, Anew: c.Force, Version: version.Read().String(), Limit: c.Limit, Out: out.stderr}
	if o.Self, err = os.Executable(); err != nil {
		return cfg, o, err
	}
	if err := c.workloads(&cfg, &o); err != nil {
		return cfg, o, err
	}
	return cfg, o, c.programs(&cfg, &o)
}

func (c *benchCmd) workloads(cfg *bench.Config, o *bench.Options) (err error) {
	names := c.Workload
	if len(names) == 0 && len(c.Command) == 0 {
		names = defaultWorkloads
	}
	// Inputs are made once, and stay for the runs that are still to come.
	dir, err := filepath.Abs(filepath.Join(c.Out, scratch))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	o.Commands, o.Skipped, err = bench.ResolveWorkloads(names, workload.Options{
		Threads: c.Threads, Self: o.Self, Parsec: c.Parsec, Input: c.Input, Scale: c.Scale, Scratch: dir})
	if err != nil {
		return usagef("bench: %w", err)
	}
	if len(c.Command) > 0 {
		if len(names) > 0 {
			return usagef("bench: --workload and a command exclude each other")
		}
		name := strings.ToValidUTF8(strings.Join(c.Command, " "), "?")
		o.Commands = append(o.Commands, &workload.Command{Name: name, Argv: c.Command})
	}
	for _, w := range o.Commands {
		argv := slices.Clone(w.Argv)
		for i, word := range argv {
			if word == o.Self {
				argv[i] = "mllb"
			}
		}
		cfg.Workloads = append(cfg.Workloads, bench.Workload{Name: w.Name, Argv: argv, Threads: w.Threads, Unit: w.Unit})
	}
	return nil
}

// programs finds mllbd, if an arm has it, and takes the digests of all that the
// results depend on and that might be another one tomorrow.
func (c *benchCmd) programs(cfg *bench.Config, o *bench.Options) (err error) {
	if cfg.Programs["mllb"], err = digest(o.Self); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for i := range cfg.Arms {
		a := &cfg.Arms[i]
		if a.Kind != bench.Daemon {
			continue
		}
		if o.Mllbd == "" {
			if o.Mllbd, err = c.findMllbd(o.Self); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			if cfg.Programs["mllbd"], err = digest(o.Mllbd); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
		}
		for _, file := range a.Files() {
			if cfg.Programs[file], err = digest(file); err != nil {
				return fmt.Errorf("bench: arm %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

func (c *benchCmd) findMllbd(self string) (string, error) {
	if c.Mllbd != "" {
		return filepath.Abs(c.Mllbd)
	}
	if next := filepath.Join(filepath.Dir(self), "mllbd"); executable(next) {
		return next, nil
	}
	path, err := exec.LookPath("mllbd")
	if err != nil {
		return "", fmt.Errorf("mllbd is neither next to %s nor in PATH; name it with --mllbd", self)
	}
	return path, nil
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

func digest(path string) (string, error) {
	b, err := namedfile.ReadFile(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(b)), nil
}

// benchRunCmd is the launcher: see bench.Launch.
type benchRunCmd struct {
	Socket  string        `required:"" help:"Socket of the benchmark."`
	Tree    bool          `help:"Wait for all descendants of the command, too."`
	Grace   time.Duration `default:"1s" help:"Time between SIGINT, SIGTERM and SIGKILL."`
	Command []string      `arg:"" passthrough:"partial" name:"cmd" help:"The command."`
}

// Run launches.
func (c *benchRunCmd) Run(ctx context.Context) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return usagef("bench-run: no command")
	}
	return bench.Launch(ctx, c.Socket, c.Command, c.Tree, c.Grace)
}
