// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mllb/bench/measure"
	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/procfs"
	"mllb/internal/namedfile"
	"mllb/mlp"
	"mllb/scheduler"
	"mllb/topology"
)

// latencyCmd times what balances a host.
type latencyCmd struct {
	Duration time.Duration `help:"How long to watch." default:"10s"`
	JSON     bool          `name:"json" help:"Print JSON, with the histograms."`
	Out      string        `help:"Write the JSON to FILE as well." placeholder:"FILE"`
	forceFlag
}

// Help documents what flags cannot.
func (latencyCmd) Help() string {
	return `Times each call of can_migrate_task and sched_balance_rq (load_balance before 6.10) in the running kernel by
fentry and fexit, and mllbd's own balance pass over this host, whose plans are not carried out: Plan alone, and the
whole tick with its snapshot. Where the kernel does not allow fentry, it says so and times only mllbd's own.

Each duration in the kernel includes the probe's own part, which is measured around a function that does nothing.
sched_balance_rq also includes the probes of the can_migrate_task calls in it, and interrupts while it runs.`
}

// Run watches until the time is over or a signal comes.
func (c *latencyCmd) Run(ctx context.Context, out output) error {
	if c.Duration <= 0 {
		return usagef("--duration: %v is not above 0", c.Duration)
	}
	if err := namedfile.CheckNew(c.Out, c.Force); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	log := slog.New(slog.NewTextHandler(out.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	plan, err := openPlanTimer(log)
	if err != nil {
		return err
	}
	defer plan.close()
	l, err := c.watch(ctx, plan)
	if err != nil {
		return err
	}
	if err := c.write(ctx, l); err != nil {
		return err
	}
	if err := c.print(out.stdout, l); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (c *latencyCmd) write(ctx context.Context, l *measure.Latency) error {
	if c.Out == "" {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	err = namedfile.WriteNew(ctx, c.Out, c.Force, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// watch times the kernel, where it can be timed, while the planner runs.
func (c *latencyCmd) watch(ctx context.Context, plan *planTimer) (*measure.Latency, error) {
	tracer, why := measure.OpenLatency(slog.New(slog.DiscardHandler)) // what is missing is in the result
	if why != nil && !errors.Is(why, measure.ErrNoLatency) {
		return nil, why
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	err := plan.daemon.Run(ctx)
	l := plan.latency(time.Since(start), why)
	if tracer == nil {
		return l, err
	}
	own := l.Functions
	l, serr := tracer.Stop()
	if err := errors.Join(err, serr, tracer.Close()); err != nil {
		return nil, err
	}
	l.Functions = append(l.Functions, own...)
	return l, nil
}

// planTimer is the daemon in observe, with a clock around its balance pass.
type planTimer struct {
	daemon     scheduler.Daemon
	host       scheduler.Host
	plan, tick measure.Recorder
}

// openPlanTimer opens what `mllbd run --mode observe` does.
func openPlanTimer(log *slog.Logger) (*planTimer, error) {
	model, err := mlp.Default()
	if err != nil {
		return nil, err
	}
	policy, err := scheduler.NewMLP(model)
	if err != nil {
		return nil, err
	}
	topo, err := topology.Read("/")
	if err != nil {
		return nil, err
	}
	p := &planTimer{}
	if p.host, err = openHost(topo); err != nil {
		return nil, err
	}
	self := int32(os.Getpid())
	p.daemon = scheduler.Daemon{
		Host: p.host, Scope: &scheduler.Filter{Self: self}, Observer: p,
		Planner:      timedPlanner{scheduler.NewBalancer(topo, scheduler.Config{Mode: scheduler.Observe}, policy), &p.plan},
		Self:         self,
		Interval:     measure.DefaultInterval,
		MaxFailures:  10,
		Topology:     topo,
		ReadTopology: func() (*topology.Topology, error) { return topology.Read("/") },
		Log:          log,
	}
	return p, nil
}

// openHost opens the best backend that this host allows.
func openHost(topo *topology.Topology) (scheduler.Host, error) {
	if r, err := bpf.Open(bpf.Options{CPUs: len(topo.CPUs)}); err == nil {
		return r, nil
	}
	return procfs.Open(procfs.Options{Root: "/"})
}

func (p *planTimer) close() {
	if c, ok := p.host.(io.Closer); ok {
		_ = c.Close()
	}
}

// Tick implements scheduler.Observer.
func (p *planTimer) Tick(t *scheduler.Tick) {
	if t.Err == nil {
		p.tick.Add(t.Took)
	}
}

// latency is what mllbd's own functions took; why the kernel's are not there.
func (p *planTimer) latency(wall time.Duration, why error) *measure.Latency {
	l := &measure.Latency{CPUs: p.daemon.Topology.Online.Count(), Wall: wall, Functions: []measure.Function{
		{Name: "Plan", By: "user", Histogram: p.plan.Histogram()},
		{Name: "tick", By: "user", Histogram: p.tick.Histogram()},
	}}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		l.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if why != nil {
		first, _, _ := strings.Cut(why.Error(), "\n") // the verifier's log has thousands
		l.Missing = []string{first}
	}
	return l
}

// timedPlanner is a planner with a clock around Plan.
type timedPlanner struct {
	scheduler.Planner
	recorder *measure.Recorder
}

// Plan implements scheduler.Planner.
func (p timedPlanner) Plan(s *features.Snapshot) *scheduler.Plan {
	start := time.Now()
	plan := p.Planner.Plan(s)
	p.recorder.Add(time.Since(start))
	return plan
}
