// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mllb/bench/measure"
	"mllb/bench/workload"
	"mllb/topology"
	"mllb/topology/probe"
)

// fruitless is the number of runs after which, if all failed, an arm is given up
// for a workload.
const fruitless = 3

// Run makes the runs that the result directory lacks, and returns the report of
// all. When ctx ends it stops at once, with everything undone; the same call
// goes on.
func Run(ctx context.Context, cfg Config, o Options) (*Report, error) {
	m, err := ReadMachine("/")
	if err != nil {
		return nil, err
	}
	x := &executor{Options: o, config: &cfg, dir: o.Dir, kernel: kernelDir, commands: make(map[string]*workload.Command)}
	for _, c := range o.Commands {
		x.commands[c.Name] = c
	}
	x.leaveOut()
	if err := x.possible(); err != nil {
		return nil, err
	}
	w, closeWatch, err := openWatch(ctx, cfg.Steady, o.Limit)
	if err != nil {
		return nil, err
	}
	defer closeWatch()
	head := Head{Schema: Schema, Digest: cfg.Digest(), Version: o.Version, Started: time.Now().UTC().Truncate(time.Second), Config: cfg,
		Skipped: x.Skipped, Machine: m, Notes: m.Warnings()}
	head.Notes = append(head.Notes, labNotes(os.Getenv)...)
	s, err := openStore(o.Dir, head, o.Anew)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := x.open(); err != nil {
		return nil, err
	}
	err = drive(ctx, s, newBoard(o.Out, s), w, x.run)
	var warmup *WarmupError
	if errors.As(err, &warmup) {
		fmt.Fprint(o.Out, warmup.Stderr)
	}
	if err := errors.Join(err, x.close()); err != nil {
		return nil, err
	}
	return Load(o.Dir)
}

// openWatch has this machine's CPUs watched, if a run has to be steady.
func openWatch(ctx context.Context, percent int, limit time.Duration) (w *watch, end func(), err error) {
	if percent == 0 {
		return nil, func() {}, nil
	}
	live, err := probe.OpenLive()
	if err != nil {
		return nil, nil, fmt.Errorf("--steady: %w", err)
	}
	if w, err = newWatch(ctx, live, percent, limit); err != nil {
		live.Close()
		return nil, nil, err
	}
	return w, live.Close, nil
}

// leaveOut drops the arms that this machine does not have.
func (x *executor) leaveOut() {
	x.config.Arms = slices.DeleteFunc(slices.Clone(x.config.Arms), func(a Arm) bool {
		why := ""
		switch {
		case a.Kind == Kernel && !x.kernel.present():
			why = string(x.kernel) + " does not exist: this kernel has no network in it (docs/KERNEL.md)"
		case a.Kind == With:
			if _, err := exec.LookPath(a.program()); err != nil {
				why = err.Error()
			}
		}
		if why != "" {
			x.Skipped = append(x.Skipped, Skipped{a.Name, why})
		}
		return why != ""
	})
}

// possible says what stands in the way of any run at all.
func (x *executor) possible() error {
	switch {
	case len(x.config.Workloads) == 0:
		return errors.New("no workload can run here" + why(x.Skipped))
	case len(x.config.Arms) < 2:
		return errors.New("no arm other than stock can run here" + why(x.Skipped))
	case schedExtOps("/") != "":
		return fmt.Errorf("the sched_ext scheduler %s is loaded, so the stock scheduler cannot be measured: unload it", schedExtOps("/"))
	}
	return nil
}

func why(skipped []Skipped) (text string) {
	for _, s := range skipped {
		text += fmt.Sprintf("; %s: %s", s.What, s.Why)
	}
	return text
}

// open puts the machine into the state in which runs begin: nothing of an
// earlier benchmark is left, every arm can be started.
func (x *executor) open() (err error) {
	if err := x.cleanUp(); err != nil {
		return err
	}
	if x.topology, err = topology.Read("/"); err != nil {
		return err
	}
	// The path of a socket is 108 bytes at the most (unix(7)).
	if x.scratch, err = os.MkdirTemp("", scratchPrefix); err != nil {
		return err
	}
	if x.kernel.present() {
		x.before, err = x.kernel.mode()
	}
	if err == nil {
		err = x.probe()
	}
	if err != nil {
		return errors.Join(err, x.close())
	}
	x.sampler = openSampler(x.Out)
	return nil
}

// openSampler counts by eBPF, or failing that polls /proc, and says so.
func openSampler(out io.Writer) sampler {
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := measure.Open(log)
	if err == nil {
		return s
	}
	fmt.Fprintf(out, "mllb bench: cannot count in the kernel: %v; polling /proc instead, which has no queue lengths\n", err)
	if s, err = measure.OpenProc(log); err == nil {
		return s
	}
	fmt.Fprintf(out, "mllb bench: cannot measure anything but times: %v\n", err)
	return nil
}

// cleanUp ends what an earlier benchmark left that was killed.
func (x *executor) cleanUp() error {
	g, err := x.leftover()
	if errors.Is(err, fs.ErrNotExist) {
		return x.restore()
	}
	if err != nil {
		return err
	}
	if err := g.kill(); err != nil {
		return err
	}
	if g.KernelMode != "" && x.kernel.present() {
		if err := x.kernel.set(g.KernelMode); err != nil {
			return err
		}
	}
	return errors.Join(x.restore(), g.removeScratch(), os.Remove(filepath.Join(x.dir, runningFile)))
}

func (x *executor) leftover() (g processGroup, err error) {
	err = readJSON(filepath.Join(x.dir, runningFile), &g)
	return g, err
}

// probe starts mllbd for a moment as each arm has it: what is wrong with its flags
// or this user's rights is said now, and not in the first of many runs.
func (x *executor) probe() error {
	for i := range x.config.Arms {
		a := &x.config.Arms[i]
		if a.Kind != Daemon {
			continue
		}
		rec := Record{Slot: Slot{Workload: "probe", Arm: a.Name}}
		x.commands["probe"] = &workload.Command{Name: "probe", Argv: []string{"true"}}
		g := newProcessGroup()
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		err := x.daemon(ctx, &g, &rec, a, spec{argv: []string{"true"}, name: "work"})
		cancel()
		delete(x.commands, "probe")
		if err := errors.Join(err, g.kill()); err != nil {
			return fmt.Errorf("arm %s cannot run: %w", a.Name, err)
		}
	}
	return nil
}

// close gives the machine back as it was.
func (x *executor) close() (err error) {
	if c, ok := x.sampler.(interface{ Close() error }); ok {
		err = c.Close()
	}
	if x.before != "" {
		if set := x.kernel.set(x.before); set != nil {
			err = errors.Join(err, fmt.Errorf("restore the mode of the kernel's network: %w", set))
		} else if g, read := x.leftover(); read == nil && g.Token == "" {
			err = errors.Join(err, os.Remove(filepath.Join(x.dir, runningFile)))
		}
	}
	return errors.Join(err, os.RemoveAll(x.scratch))
}

// ResolveWorkloads finds the named workloads. What this machine lacks is skipped
// by name; a name that nobody knows is an error.
func ResolveWorkloads(names []string, o workload.Options) (found []*workload.Command, skipped []Skipped, err error) {
	for _, name := range names {
		c, err := workload.Resolve(name, o)
		var missing *workload.Missing
		switch {
		case errors.As(err, &missing):
			skipped = append(skipped, Skipped{name, strings.TrimSpace(missing.Error())})
			continue
		case err != nil:
			return nil, nil, err
		case slices.ContainsFunc(found, func(f *workload.Command) bool { return f.Name == c.Name }):
			return nil, nil, fmt.Errorf("workload %s is named twice", c.Name)
		}
		found = append(found, c)
	}
	return found, skipped, nil
}
