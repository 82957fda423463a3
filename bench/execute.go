// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mllb/bench/measure"
	"mllb/bench/workload"
	"mllb/internal/number"
	"mllb/internal/runreport"
	"mllb/topology"
)

// sampler is measure.Sampler.
type sampler interface {
	Start(measure.Options) error
	Stop() (*measure.Sample, error)
}

// executor makes runs on this machine.
type executor struct {
	Options
	config   *Config
	dir      string // of results
	scratch  string // short-lived files; a short name, for it has sockets
	sampler  sampler
	topology *topology.Topology
	kernel   kernelControl
	before   string // its mode before the benchmark; "": none
	commands map[string]*workload.Command
}

// grace is how long a workload has to end by itself when it is told to, and
// companionGrace the same for a companion, which has more to undo.
const (
	grace          = time.Second
	companionGrace = 5 * time.Second
)

// maxStdout is how much of what a workload says is looked at.
const maxStdout = 64 << 20

// run makes one. A run that went wrong is a Record that says so; an error means
// that the benchmark cannot go on: it was called off, or the machine may not be
// as it was.
func (x *executor) run(ctx context.Context, s Slot) (rec Record, err error) {
	g := newProcessGroup()
	g.KernelMode, g.Scratch = x.before, x.scratch
	g.makeCgroup()
	running := filepath.Join(x.dir, runningFile)
	if err := writeJSON(running, g); err != nil {
		return rec, errors.Join(err, g.removeCgroup())
	}
	rec = Record{Slot: s}
	unprepared := x.prepare(ctx, &g)
	rec.Started = time.Now().UTC().Truncate(time.Millisecond)
	var failed error
	if unprepared == nil {
		failed = x.measured(ctx, &g, &rec)
	}
	if err := errors.Join(g.kill(), x.heal(&rec)); err != nil {
		return rec, err // running.json stays: the next benchmark tries again
	}
	if err := x.idle(); err != nil {
		return rec, err
	}
	if ctx.Err() != nil {
		return rec, ctx.Err()
	}
	if unprepared != nil {
		return rec, unprepared
	}
	if failed != nil {
		rec.Failed = failed.Error()
		err := x.keepOutput(s)
		if s.Warmup() {
			err = errors.Join(err, x.warmupError(failed))
		}
		return rec, err
	}
	return rec, nil
}

// idle writes down what is to be undone if the benchmark is killed between two runs:
// nothing, but for the mode of the kernel's network.
func (x *executor) idle() error {
	running := filepath.Join(x.dir, runningFile)
	if x.before != "" {
		return writeJSON(running, processGroup{KernelMode: x.before, Scratch: x.scratch})
	}
	return os.Remove(running)
}

// measured makes the run with what belongs to its arm around it.
func (x *executor) measured(ctx context.Context, g *processGroup, rec *Record) (err error) {
	arm, cmd := x.config.Arm(rec.Arm), x.commands[rec.Workload]
	ctx, cancel := context.WithTimeoutCause(ctx, x.Limit, fmt.Errorf("it took longer than %v", x.Limit))
	defer cancel()
	defer func() {
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		if cmd.Clean != nil {
			err = errors.Join(err, cmd.Clean())
		}
	}()
	if x.before != "" {
		if err := x.kernel.set(kernelMode(arm)); err != nil {
			return fmt.Errorf("set the mode of the kernel's network: %w", err)
		}
	}
	s := spec{argv: cmd.Argv, env: cmd.Env, dir: cmd.Dir, grace: grace, name: "work"}
	switch arm.Kind {
	case With:
		return x.companion(ctx, g, rec, arm, s)
	case Kernel:
		return x.inKernel(ctx, g, rec, s)
	case Daemon:
		return x.daemon(ctx, g, rec, arm, s)
	default:
		return x.command(ctx, g, rec, s)
	}
}

func kernelMode(a *Arm) string {
	if a.Kind == Kernel {
		return a.Mode
	}
	return "off"
}

// command runs the workload and samples it.
func (x *executor) command(ctx context.Context, g *processGroup, rec *Record, s spec) (err error) {
	p, err := x.launch(ctx, g, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if x.sampler != nil {
		o := measure.Options{Root: p.pid, Interval: time.Duration(x.config.Interval * float64(time.Second)), Topology: x.topology}
		if err := x.sampler.Start(o); err != nil {
			return fmt.Errorf("start sampling: %w", err)
		}
	}
	var u *Usage
	if err = p.begin(); err == nil {
		u, err = p.wait(ctx)
	}
	if x.sampler != nil {
		sample, stopped := x.sampler.Stop()
		if stopped != nil {
			err = errors.Join(err, fmt.Errorf("stop sampling: %w", stopped))
		}
		rec.Sample = sample
	}
	if err != nil {
		return err
	}
	rec.Usage = *u
	return x.check(rec, p)
}

// check says what the workload did not do.
func (x *executor) check(rec *Record, p *process) error {
	if rec.Status != 0 {
		return fmt.Errorf("exit status %d%s", rec.Status, p.lastWords())
	}
	cmd := x.commands[rec.Workload]
	if cmd.Check == nil && cmd.Score == nil {
		return nil
	}
	out, err := tail(p.stdout, maxStdout)
	if err != nil {
		return err
	}
	if cmd.Check != nil {
		if err := cmd.Check(out); err != nil {
			return fmt.Errorf("the work was not done: %w", err)
		}
	}
	if cmd.Score != nil {
		score, err := cmd.Score(out)
		if err != nil {
			return fmt.Errorf("read its figure: %w", err)
		}
		rec.Score = &score
	}
	return nil
}

// daemon has mllbd around the workload. A mllbd that failed makes the run fail,
// though the workload may have gone on without it.
func (x *executor) daemon(ctx context.Context, g *processGroup, rec *Record, arm *Arm, s spec) error {
	file := filepath.Join(x.scratch, "report.json")
	// As whoever runs mllb, also under sudo, as in the arms without mllbd.
	s.around = append(append([]string{x.Mllbd, "run", "--user", strconv.Itoa(os.Geteuid()), "--report", file, "--log-level", "warn"}, x.stateDir()...), arm.DaemonFlags()...)
	s.around = append(s.around, "--")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("old report: %w", err)
	}
	if err := x.command(ctx, g, rec, s); err != nil {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("mllbd left no report: %w", err)
	}
	if rec.Daemon, err = runreport.Parse(b); err != nil {
		return err
	}
	switch d := rec.Daemon; {
	case d.Error != "":
		return fmt.Errorf("mllbd gave up: %s", d.Error)
	case d.Left > 0:
		return fmt.Errorf("mllbd could not restore %s", number.Of(d.Left, "mask"))
	}
	return nil
}

func (x *executor) stateDir() []string {
	if x.StateDir == "" {
		return nil
	}
	return []string{"--state-dir", x.StateDir}
}

func (x *executor) inKernel(ctx context.Context, g *processGroup, rec *Record, s spec) error {
	before, err := x.kernel.counts()
	if err != nil {
		return err
	}
	if err := x.command(ctx, g, rec, s); err != nil {
		return err
	}
	after, err := x.kernel.counts()
	if err != nil {
		return err
	}
	counts := after.since(before)
	rec.Kernel = &counts
	return nil
}

// heal undoes what mllbd left, if it did not end as it should have.
func (x *executor) heal(rec *Record) error {
	if x.config.Arm(rec.Arm).Kind != Daemon || rec.Daemon != nil && rec.Daemon.Left == 0 {
		return nil
	}
	return x.restore()
}

// restore has mllbd give back what a mllbd that was killed still held.
func (x *executor) restore() error {
	if x.Mllbd == "" {
		return nil
	}
	out, err := exec.Command(x.Mllbd, append([]string{"restore"}, x.stateDir()...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mllbd restore: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
