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
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/measure"
	"mllb/scheduler"
	"mllb/topology"
)

// latencyCmd is `mllbd latency`.
type latencyCmd struct {
	Duration time.Duration `help:"How long to watch." default:"10s"`
	JSON     bool          `name:"json" help:"Print JSON, with the histograms."`
	Out      string        `help:"Write the JSON to FILE as well." placeholder:"FILE"`
}

// Validate is called by kong after parsing.
func (c *latencyCmd) Validate() error {
	if c.Duration <= 0 {
		return fmt.Errorf("--duration: %v is not above 0", c.Duration)
	}
	return nil
}

// Help documents what flags cannot.
func (latencyCmd) Help() string {
	return `Times each call of can_migrate_task and sched_balance_rq (load_balance before 6.10) in the running kernel by
fentry and fexit, and mllbd's own balance pass over this host, of which nothing is carried out: Plan alone, and the
whole tick with its snapshot. Where the kernel allows no fentry, it says so and times its own only.

Each duration in the kernel includes the probe's own part, which is measured around a function that does nothing.
sched_balance_rq also includes the probes of the can_migrate_task calls in it, and interrupts while it runs.`
}

// run watches until the time is over or a signal comes.
func (c *latencyCmd) run(ctx context.Context, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	plan, err := openPlanTimer(log)
	if err != nil {
		return err
	}
	defer plan.close()
	l, err := c.watch(ctx, plan)
	if err != nil {
		return err
	}
	if err := c.print(stdout, l); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if c.Out == "" {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, append(text, '\n'), 0o644); err != nil {
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
	session    *session
	daemon     scheduler.Daemon
	plan, tick measure.Recorder
}

// openPlanTimer opens what `mllbd run --mode observe` would.
func openPlanTimer(log *slog.Logger) (*planTimer, error) {
	cfg := &runCmd{common: common{Root: "/"}, Mode: "observe", Policy: "mlp", Snapshot: "auto"}
	s := &session{cfg: cfg, stdout: io.Discard, stderr: io.Discard, log: log}
	for _, step := range []func() error{s.openPolicy, s.readTopology, s.openScope, s.openHost} {
		if err := step(); err != nil {
			s.close()
			return nil, err
		}
	}
	p := &planTimer{session: s}
	p.daemon = scheduler.Daemon{
		Host: s.host, Scope: s.scope, Observer: p,
		Planner:      timedPlanner{scheduler.NewBalancer(s.topology, scheduler.Config{Mode: scheduler.Observe}, s.policy), &p.plan},
		Self:         s.scope.self,
		Interval:     measure.DefaultInterval,
		MaxFailures:  maxFailures,
		Topology:     s.topology,
		ReadTopology: func() (*topology.Topology, error) { return topology.Read("/") },
		Log:          log,
	}
	return p, nil
}

func (p *planTimer) close() { p.session.close() }

// Tick implements scheduler.Observer.
func (p *planTimer) Tick(t *scheduler.Tick) {
	if t.Err == nil {
		p.tick.Add(t.Took)
	}
}

// latency is what mllbd's own functions took; why the kernel's are not there.
func (p *planTimer) latency(wall time.Duration, why error) *measure.Latency {
	l := &measure.Latency{CPUs: p.session.topology.Online.Count(), Wall: wall, Functions: []measure.Function{
		{Name: "Plan", By: "user", Histogram: p.plan.Histogram()},
		{Name: "tick", By: "user", Histogram: p.tick.Histogram()},
	}}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		l.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if why != nil {
		l.Missing = []string{oneLine(why)}
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

func probeMeasure(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	s, err := measure.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	return "", s.Close()
}

func probeLatency(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	t, err := measure.OpenLatency(slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	l, err := t.Stop()
	if err == nil && len(l.Missing) > 0 {
		err = errors.New(strings.Join(l.Missing, "; "))
	}
	return "", errors.Join(err, t.Close())
}
