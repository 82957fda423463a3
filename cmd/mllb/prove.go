// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mllb/bench"
	"mllb/internal/namedfile"
)

type proveCmd struct {
	Out     string   `default:"prove" placeholder:"DIR" help:"Directory of the results (${default}). What to send is DIR.tar.gz. The same command resumes."`
	Runs    int      `default:"12" placeholder:"N" help:"Runs of each workload under each arm (${default})."`
	Scale   float64  `default:"4" placeholder:"X" help:"Amount of work of the built-in workloads (${default}): runs of about ten seconds."`
	Prepare string   `placeholder:"CMD" help:"Command for sh before each run, such as make clean. It is not measured."`
	Steady  int      `default:"0" placeholder:"PERCENT" help:"As of mllb bench: repeat runs in which a CPU was slower. For shared hosts. Default: off."`
	Mllbd   string   `placeholder:"FILE" help:"The mllbd program. Default: next to this one, else in PATH."`
	Force   bool     `help:"Discard the results in --out and start over."`
	Command []string `arg:"" optional:"" passthrough:"partial" name:"cmd" help:"Command to run as the workload, after --. Default: four built-in workloads."`

	dir   string // --out, absolute
	state string // of mllbd, in it
}

// Help documents what flags cannot.
func (proveCmd) Help() string {
	return `Looks what works here (mllbd check), what the CPUs share (mllb topology --probe) and how steady they are,
and then runs the workloads under stock, assist, own, scx where it works, and stock again (mllb bench).
How long that takes is said after the first run. SIGINT ends it and reports what there is; the same command
goes on. mllbd manages only what is started here, and nothing stays on the host but DIR and DIR.tar.gz.
The archive has the name of the host, its kernel and CPU, a digest of its machine ID, the command, and the last
line that a failed run printed.`
}

// The built-in set: half of the CPUs busy, a few more threads than CPUs, threads that
// sleep and wake each other, and ones that pass work on.
var proveWorkloads = []string{"even@50%", "spin", "wakers", "pipeline"}

// proveLooks is how often the speed of each CPU is measured.
const proveLooks = 10

// machineFile is the profile of the machine in the directory.
const machineFile = "machine.json"

// Run proves.
func (c *proveCmd) Run(ctx context.Context, out output) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if err := c.open(); err != nil {
		return err
	}
	err := c.run(ctx, out)
	if closed := c.close(); closed != nil && err == nil {
		err = fmt.Errorf("prove: %w", closed)
	}
	return err
}

func (c *proveCmd) run(ctx context.Context, out output) error {
	b := &benchCmd{Workload: proveWorkloads, Runs: &c.Runs, Warmup: 1, Prepare: c.Prepare, Scale: c.Scale, Input: "native", Out: c.dir, Seed: 1,
		Interval: 100 * time.Millisecond, Limit: time.Hour, Steady: c.Steady, Mllbd: c.Mllbd, StateDir: c.state, Force: c.Force}
	if len(c.Command) > 0 {
		b.Workload, b.Command = nil, c.Command
	}
	fmt.Fprintf(out.stderr, "mllb prove: first a look at this host, half a minute, and then runs; SIGINT ends it, and the same command goes on. Results: %s\n", c.dir)
	if err := c.look(ctx, out, b); err != nil {
		return c.interrupted(ctx, fmt.Errorf("prove: %w", err))
	}
	cfg, o, err := b.config(out)
	if err != nil {
		return err
	}
	_, err = bench.Run(ctx, cfg, o)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("prove: %w", err)
	}
	r, wrote := bench.Write(c.dir)
	if wrote != nil {
		return c.interrupted(ctx, fmt.Errorf("prove: %w", wrote))
	}
	if err := c.report(out, r); err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	if err != nil {
		return c.interrupted(ctx, err)
	}
	if err := r.Failure(); err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	return nil
}

// interrupted is the error of a signal, if there was one.
func (c *proveCmd) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &proveInterrupted{c.Out}
	}
	return err
}

type proveInterrupted struct{ dir string }

func (e *proveInterrupted) Error() string {
	return "prove: interrupted and cleaned up; the same command resumes " + e.dir
}

func (*proveInterrupted) ExitCode() int { return 130 }

// open makes the directory, or takes that of an earlier mllb prove.
func (c *proveCmd) open() (err error) {
	if c.dir, err = filepath.Abs(c.Out); err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	if filepath.Dir(c.dir) == c.dir {
		return usagef("prove: --out %s has no place beside it for an archive", c.Out)
	}
	c.state = filepath.Join(c.dir, "state")
	if err := checkDir("prove: --out", c.dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	_, err = os.Stat(filepath.Join(c.dir, bench.CheckFile))
	resumed := err == nil
	if len(entries) > 0 && !resumed {
		return fmt.Errorf("prove: %s is not empty, and not of mllb prove: choose another --out", c.Out)
	}
	if err := namedfile.CheckNew(c.archive(), c.Force || resumed); err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	return nil
}

// close leaves nothing of mllbd's, unless another mllb prove is at work there.
func (c *proveCmd) close() error {
	lock, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	_ = os.Remove(filepath.Join(c.dir, scratch)) // if nothing is in it
	if err := os.Remove(filepath.Join(c.state, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(c.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; try mllbd restore --state-dir %s", err, c.state)
	}
	return nil
}

// look finds out about the host, and which arms it can have.
func (c *proveCmd) look(ctx context.Context, out output, b *benchCmd) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	mllbd, err := b.findMllbd(self)
	if err != nil {
		return err
	}
	can, err := c.check(ctx, mllbd)
	if err != nil {
		return err
	}
	b.Arms = []string{"stock", "assist", "own", "again=stock"}
	if can["scx"] {
		b.Arms = []string{"stock", "assist", "own", "scx", "again=stock"}
	}
	fmt.Fprintf(out.stderr, "mllb prove: arms %s\n", strings.Join(b.Arms, ", "))
	if err := c.once(bench.TopologyFile, func() (string, error) { return c.topology(ctx, out) }); err != nil {
		return err
	}
	return c.once(bench.ContentionFile, func() (string, error) {
		text, err := bench.Contention(ctx, proveLooks)
		return orWhy(ctx, text, err)
	})
}

// once writes a file that is not there yet.
func (c *proveCmd) once(name string, text func() (string, error)) error {
	path := filepath.Join(c.dir, name)
	if _, err := os.Stat(path); err == nil && !c.Force {
		return nil
	}
	t, err := text()
	if err != nil {
		return err
	}
	return namedfile.Write(context.Background(), path, []byte(t))
}

// orWhy is a text, or why there is none: what cannot be measured stops nothing.
func orWhy(ctx context.Context, text string, err error) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "not measured: " + err.Error() + "\n", nil
	}
	return text, nil
}

// topology measures what the CPUs share.
func (c *proveCmd) topology(ctx context.Context, out output) (string, error) {
	var b bytes.Buffer
	t := topologyCmd{Probe: true, Out: filepath.Join(c.dir, machineFile), forceFlag: forceFlag{Force: true}}
	err := t.Run(ctx, output{&b, out.stderr})
	return orWhy(ctx, b.String(), err)
}
