// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"mllb/affinity"
	"mllb/bench/daemon"
	"mllb/features"
	"mllb/features/trace"
	"mllb/scheduler"
	"mllb/topology"
)

// maxFailures is how many ticks may fail in a row before mllbd gives the host
// back to the kernel.
const maxFailures = 10

// maxQuiet is how late mllbd may notice what does not change the number of
// runnable threads of any CPU, on a host at rest.
const maxQuiet = time.Second

// healthyTicks is how many intervals old the last tick may be for /healthz.
const healthyTicks = 5

// run balances. Everything that can be wrong with the command line, the files
// it names, the host and the privileges is found out before anything is
// changed.
func (c *runCmd) run(ctx context.Context, stdout, stderr io.Writer) error {
	s := &session{cfg: c, stdout: stdout, stderr: stderr, log: c.logger(stderr)}
	defer s.close()
	if err := s.prepare(); err != nil {
		return err
	}
	return s.balance(ctx)
}

func (c *runCmd) logger(w io.Writer) *slog.Logger {
	opt := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogForm == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// session is one `mllbd run`.
type session struct {
	cfg            *runCmd
	stdout, stderr io.Writer
	log            *slog.Logger

	id        identity
	policy    scheduler.Policy
	set       *features.Set // in which events show decisions
	topology  *topology.Topology
	scope     *scope
	hierarchy int    // of the cgroups that snapshots name
	cgroup    string // directory of --cgroup, or ""
	host      host
	events    *events
	server    *server
	stats     stats
	tracer    *trace.Tracer // of the kernel's decisions, or nil
	agreement *agreement    // with them, or nil

	enforcer *affinity.Enforcer // nil in observe, and once closed
	forks    *forkTracer
	idle     *idleWatch // nil where there is none
	child    *child
	restored affinity.Report
}

// prepare checks everything and opens what changes nothing.
func (s *session) prepare() error {
	s.id = identity{Mode: s.cfg.Mode, Policy: s.cfg.Policy, Enforcer: s.cfg.Enforcer}
	if s.cfg.Mode == "observe" {
		s.id.Enforcer = "none"
	}
	for _, step := range []func() error{
		s.openPolicy, s.cfg.checkSchedExt, s.checkCaps, s.readTopology, s.openScope, s.openHost, s.openOutputs, s.openAgreement,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) checkCaps() error {
	have, err := capabilities()
	if err != nil {
		return err
	}
	return s.cfg.checkCaps(have)
}

func (s *session) readTopology() (err error) {
	s.topology, err = topology.Read(s.cfg.Root)
	return err
}

func (s *session) openOutputs() (err error) {
	if s.cfg.Report != "" {
		if err := daemon.Prepare(s.cfg.Report); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	if s.cfg.Events != "" {
		if s.events, err = openEvents(s.cfg.Events, s.cfg.Policy, s.set, s.log); err != nil {
			return err
		}
	}
	if s.cfg.Listen != "" {
		s.server, err = listen(s.cfg.Listen, s.log)
	}
	return err
}

// balance opens the enforcer, starts CMD and ticks until it is time to end;
// then it undoes everything, and leaves CMD to finish if mllbd ends first.
func (s *session) balance(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Caught before anything is held, so that no signal skips the restore.
	defer s.catch(cancel)()
	if err := s.openEnforcer(); err != nil {
		return err
	}
	if err := s.startChild(cancel); err != nil {
		return err
	}
	if s.cfg.Duration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, s.cfg.Duration)
		defer stop()
	}
	if s.agreement != nil {
		s.agreement.done, s.stats.agreement = cancel, s.agreement
	}
	err := s.guard(ctx)
	err = errors.Join(err, s.restore())
	if s.agreement != nil {
		err = errors.Join(err, s.agreement.finish())
	}
	s.summary()
	err = errors.Join(err, s.report(err))
	if s.child == nil {
		return err
	}
	if err != nil {
		s.log.Error("mllbd gave up; the command goes on without it", "err", err)
	}
	<-s.child.done
	return s.child.result()
}

// catch ends the run by the signals that ask for it and swallows those that
// would otherwise end or stop mllbd while threads are held. SIGPIPE is what a
// log line to `| head` costs; CMD still gets its default of it, since a signal
// that is caught, unlike one that is ignored, is reset by execve(2).
func (s *session) catch(cancel context.CancelFunc) (stop func()) {
	swallowed := make(chan os.Signal, 1)
	signal.Notify(swallowed, unix.SIGPIPE)
	if len(s.cfg.Command) > 0 {
		return func() { signal.Stop(swallowed) } // CMD's signals are startChild's
	}
	notify(swallowed, []os.Signal{unix.SIGTSTP, unix.SIGUSR1, unix.SIGUSR2})
	ending := make(chan os.Signal, 1)
	notify(ending, []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT})
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-ending: // a second one finds the end under way
				s.log.Info("ending", "signal", sig.String())
				cancel()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(ending)
		signal.Stop(swallowed)
		close(done)
	}
}

func (s *session) startChild(cancel context.CancelFunc) (err error) {
	if len(s.cfg.Command) == 0 {
		return nil
	}
	if s.child, err = startChild(s.cfg.Command); err != nil {
		return err
	}
	go func() {
		<-s.child.done
		cancel()
	}()
	return nil
}

// guard runs the loop and turns a bug that panics into an error, so that it
// too ends in the restore, and with CMD left to finish.
func (s *session) guard(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("internal error", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return s.loop(ctx)
}

// loop runs the daemon until ctx ends or it fails.
func (s *session) loop(ctx context.Context) error {
	s.stats.start, s.stats.cpu = time.Now(), cpuTime()
	cfg := scheduler.Config{Mode: s.cfg.mode(), Hold: s.cfg.hold(), Budget: s.cfg.Budget, CoolDown: s.cfg.CoolDown, Lease: s.cfg.Lease}
	d := &scheduler.Daemon{
		Host: s.host, Scope: s.scope, Observer: s.observers(),
		Planner: scheduler.NewBalancer(s.topology, cfg, s.policy),
		Self:    s.scope.self, Interval: s.cfg.Interval, MaxFailures: maxFailures,
		MaxQuiet: maxQuiet, ForksTraced: s.forks != nil,
		MaxCPU: s.cfg.MaxCPU / 100, CPUTime: cpuTime,
		Topology:     s.topology,
		ReadTopology: func() (*topology.Topology, error) { return topology.Read(s.cfg.Root) },
		Log:          s.log,
	}
	if s.enforcer != nil {
		d.Enforcer = s.enforcer
	}
	if s.idle != nil {
		d.Starved, d.Watch = s.idle.starved, s.idle.arm
	}
	if cfg.Mode == scheduler.Assist {
		d.Lease = s.cfg.Lease
	}
	if s.server != nil {
		m := &metrics{stats: &s.stats, id: s.id}
		if s.events != nil {
			m.lost = &s.events.failed
		}
		s.server.serve(m, healthyTicks*s.cfg.Interval, s.log)
	}
	s.log.Info("balancing", "mode", s.id.Mode, "policy", s.id.Policy, "snapshots", s.id.Rung,
		"enforcer", s.id.Enforcer, "topology", s.topology.String())
	return d.Run(ctx)
}

// observers are told of each tick in turn.
type observers []scheduler.Observer

// Tick implements scheduler.Observer.
func (o observers) Tick(t *scheduler.Tick) {
	for _, each := range o {
		each.Tick(t)
	}
}

func (s *session) observers() observers {
	r := &reporter{stats: &s.stats, id: s.id, log: s.log}
	r.out, r.ansi, r.width = s.viewOutput()
	all := observers{&s.stats}
	if s.agreement != nil {
		all = append(all, s.agreement)
	}
	if s.events != nil {
		all = append(all, s.events)
	}
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		all = append(all, moveLog{s.log})
	}
	return append(all, r)
}

// viewOutput says where the live view goes: nowhere, unless --view says so or
// stdout is a terminal that mllbd has to itself.
func (s *session) viewOutput() (out io.Writer, ansi bool, width func() int) {
	f, ok := s.stdout.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	want := terminal && len(s.cfg.Command) == 0
	if s.cfg.View != nil {
		want = *s.cfg.View
	}
	if !want {
		return nil, false, nil
	}
	return s.stdout, terminal, func() int {
		w, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return w
	}
}

// restore gives every thread its owner's mask back.
func (s *session) restore() error {
	if s.enforcer == nil {
		return nil
	}
	report, err := s.enforcer.Close()
	s.enforcer = nil
	s.restored = report
	for _, note := range report.Notes {
		s.log.Warn(note)
	}
	if err != nil {
		return fmt.Errorf("restore masks: %w", err)
	}
	return nil
}

// close closes what is open still. Masks come first, whatever happened.
func (s *session) close() {
	if err := s.restore(); err != nil {
		s.log.Error("not all masks are restored; run mllbd restore", "err", err)
	}
	if s.forks != nil {
		s.forks.close()
	}
	if s.idle != nil {
		s.idle.close()
	}
	if s.server != nil {
		s.server.close()
	}
	if s.events != nil {
		if err := s.events.Close(); err != nil {
			s.log.Error("events are incomplete", "err", err)
		}
	}
	if s.tracer != nil {
		if err := s.tracer.Close(); err != nil {
			s.log.Error("tracing is not fully undone", "err", err)
		}
	}
	if s.host != nil {
		_ = s.host.Close()
	}
}
