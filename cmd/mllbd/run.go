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

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"mllb/affinity"
	"mllb/features/bpf"
	"mllb/features/speed"
	"mllb/features/trace"
	"mllb/internal/denial"
	"mllb/internal/namedfile"
	"mllb/scheduler"
	"mllb/topology"
	topoprobe "mllb/topology/probe"
)

// maxFailures is how many ticks may fail in a row before mllbd gives the host
// back to the kernel.
const maxFailures = 10

// maxSkip is how late mllbd may notice what does not change the number of
// runnable threads of any CPU, on a host at rest.
const maxSkip = time.Second

// healthyTicks is how many intervals old the last tick may be for /healthz, beside
// those that mllbd sleeps through.
const healthyTicks = 5

// run balances. Everything that can be wrong with the command line, the files
// it names, the host and the privileges is found out before anything is
// changed.
func (c *runCmd) run(ctx context.Context, stdout, stderr io.Writer, by *invocation) error {
	keepPipes()
	boundRuntime()
	s := &session{cfg: c, by: by, stdout: stdout, stderr: stderr}
	s.openLog()
	s.stats.outputs[toLog], _ = stderr.(*queue)
	defer s.close()
	if err := s.prepare(); err != nil {
		return err
	}
	return s.balance(ctx)
}

func (s *session) openLog() {
	s.logLevel.Set(s.cfg.LogLevel)
	opt := &slog.HandlerOptions{Level: &s.logLevel}
	s.log = slog.New(slog.NewTextHandler(s.stderr, opt))
	if s.cfg.LogForm == "json" {
		s.log = slog.New(slog.NewJSONHandler(s.stderr, opt))
	}
}

// session is one `mllbd run`.
type session struct {
	cfg            *runCmd
	by             *invocation
	stdout, stderr io.Writer
	log            *slog.Logger
	logLevel       slog.LevelVar

	id identity
	judge
	topology   *topology.Topology
	profile    *topoprobe.Profile // of --topology, or nil
	scope      *scheduler.Filter
	hierarchy  int           // of the cgroups that snapshots name
	cgroup     string        // directory of --cgroup, or ""
	newborn    time.Duration // of scheduler.Config
	trees      *cgroupTrees
	account    *account // as whom CMD runs, or nil
	host       host
	canary     *speed.Canary // nil: nobody knows what CPUs are worth
	events     *events
	reportTo   *namedfile.Output       // of --report, or nil
	giveUp     context.CancelCauseFunc // ends the wait for who reads it
	server     *server
	metrics    *metrics // or nil
	manager    *manager // or nil
	reporter   *reporter
	reloader   *reloader
	watcher    *watcher
	viewer     *viewer     // or nil
	viewServer *viewServer // likewise
	view       *queue      // or nil
	endBy      time.Time   // set by end
	stats      stats
	tracer     *trace.Tracer // of the kernel's decisions, or nil
	agreement  *agreement    // with them, or nil
	troubles   troubles

	enforcer *affinity.Enforcer // nil in observe, and once closed
	kernel   *schedExt          // the sched_ext scheduler, or nil
	marks    *bpf.Reader
	forks    *forkTracer
	idle     *idleWatch // nil where there is none
	child    *child
	restored affinity.Report
}

// prepare checks everything and opens what changes nothing.
func (s *session) prepare() error {
	s.id = identity{Mode: s.cfg.Mode, Policy: s.cfg.Policy, Enforcer: "none"}
	for _, step := range []func() error{
		s.openPolicy, s.cfg.checkSchedExt, s.findAccount, s.checkCaps, s.openProfile, s.readTopology, s.openScope, s.openHost, s.openOutputs, s.openAgreement, s.openManager,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) checkCaps() error {
	have, err := denial.Capabilities()
	if err != nil {
		return err
	}
	if denial.Missing(have, denial.CapSysNice) != "" {
		s.newborn = strangerAfter
	}
	return s.cfg.checkCaps(have, s.account)
}

// strangerAfter is how old a thread has to be to be held by a mllbd that may not give
// its mask back once a set-user-ID program has made it another user's. Most that start
// such programs do so soon.
const strangerAfter = 3 * time.Second

func (s *session) findAccount() (err error) {
	s.account, err = s.cfg.account()
	return err
}

func (s *session) readTopology() (err error) {
	s.topology, err = s.topologyNow()
	return err
}

// topologyNow reads the topology, and has the scope know what is left out.
func (s *session) topologyNow() (_ *topology.Topology, err error) {
	var t *topology.Topology
	if s.profile != nil {
		t, err = s.profile.Topology()
	} else {
		t, err = topology.Read(s.cfg.Root)
	}
	if err == nil && s.scope != nil {
		s.scope.LeftOut = topology.AllLeftOut(t.LeftOut)
	}
	if err == nil && s.canary != nil {
		if err := s.canary.SetTopology(t); err != nil {
			s.log.Warn("what some CPUs are worth is not known", "err", err)
		}
	}
	return t, err
}

func (s *session) openOutputs() (err error) {
	if err := s.openReport(); err != nil {
		return err
	}
	if err := namedfile.Distinct(s.cfg.Events, s.cfg.Model, s.cfg.profileFile()); err != nil {
		return fmt.Errorf("open events file: %w", err)
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
	if err := s.openBackend(); err != nil {
		return err
	}
	if err := s.startChild(cancel); err != nil {
		return err
	}
	if s.agreement != nil {
		s.agreement.done, s.stats.agreement = cancel, s.agreement
	}
	s.reloader = &reloader{session: s}
	if s.kernel != nil {
		s.kernel.cancel = cancel
	}
	s.troubles = troubles{log: s.log, stats: &s.stats, cfg: s.cfg, scope: s.scope, kernel: s.kernel}
	if r, ok := s.host.(procHost); ok {
		s.troubles.unread = func() (uint64, error) { return r.Errors(), r.LastError() }
	}
	defer s.obeyHangups(cancel)()
	err := s.guard(ctx)
	if s.kernel != nil {
		err = errors.Join(err, s.kernel.err)
	}
	s.manager.tell(daemon.SdNotifyStopping)
	s.closeSpeeds()
	s.closeServer()
	if err = errors.Join(err, s.restore()); err == nil {
		err = s.troubles.nothing()
	}
	if s.agreement != nil {
		err = errors.Join(err, s.agreement.finish())
	}
	s.closeView()
	s.summary()
	err = errors.Join(err, s.report(err))
	if s.child == nil {
		return err
	}
	var left *leftError
	var idle *idleError
	switch {
	case errors.As(err, &left):
		s.log.Error("not all masks are restored; the command goes on without mllbd", "err", err)
	case errors.As(err, &idle):
		s.log.Error("mllbd could do nothing for the command", "err", err)
	case err != nil:
		s.log.Error("mllbd gave up; the command goes on without it", "err", err)
	}
	<-s.child.done
	s.endBy = time.Time{}
	result := s.child.result()
	switch {
	case result != nil:
		return result
	case left != nil:
		return &exitError{exitInternal, left}
	case idle != nil:
		return &exitError{exitInternal, idle}
	}
	return nil
}

// catch ends the run by the signals that ask for it and swallows those that
// would otherwise end or stop mllbd while threads are held.
func (s *session) catch(cancel context.CancelFunc) (stop func()) {
	if len(s.cfg.Command) > 0 {
		return func() {} // CMD's signals are startChild's
	}
	// In the background it writes to a terminal under stty tostop too.
	signal.Ignore(unix.SIGTTIN, unix.SIGTTOU)
	swallowed := make(chan os.Signal, 1)
	notify(swallowed, []os.Signal{unix.SIGTSTP, unix.SIGUSR1, unix.SIGUSR2})
	ending := make(chan os.Signal, 1)
	notify(ending, []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGQUIT})
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-ending: // a second one finds the end under way
				cancel()
				s.log.Info("ending", "signal", sig.String())
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
	if err := s.by.leaveHangups(); err != nil {
		return err
	}
	if s.child, err = s.kernel.start(s.cfg.Command, s.account); err != nil {
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
	s.openSpeeds()
	s.stats.start, s.stats.cpu = time.Now(), cpuTime()
	if s.enforcer == nil && s.cfg.Root == "/" {
		s.stats.stateDir = s.cfg.StateDir
	}
	d := s.daemon()
	if s.events != nil {
		s.stats.outputs[toEvents] = s.events.out
	}
	if s.server != nil {
		s.metrics = newMetrics(&s.stats, s.id)
		s.server.serve(s.metrics, healthyTicks*s.cfg.Interval+s.maxNap())
	}
	if err := settle(); err != nil {
		s.log.Debug("memory that only the start needed is kept", "err", err)
	}
	s.log.Info("balancing", "mode", s.id.Mode, "policy", s.id.Policy, "snapshots", s.id.Backend,
		"enforcer", s.id.Enforcer, "topology", s.topology.String())
	if s.cfg.Duration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, s.cfg.Duration)
		defer stop()
	}
	return d.Run(ctx)
}

// daemon makes the daemon of what is open.
func (s *session) daemon() *scheduler.Daemon {
	cfg := scheduler.Config{Mode: s.cfg.mode(), Hold: s.cfg.hold(), Budget: s.cfg.Budget, CoolDown: s.cfg.CoolDown, Newborn: s.newborn}
	balancer := scheduler.NewBalancer(s.topology, cfg, s.policy)
	d := &scheduler.Daemon{
		Host: s.host, Scope: s.scope, Observer: s.observers(),
		Planner: balancer,
		Self:    s.scope.Self, Interval: s.cfg.Interval, MaxFailures: maxFailures,
		MaxSkip: maxSkip, ForksTraced: s.forks != nil,
		MaxCPU: s.cfg.MaxCPU / 100, CPUTime: s.loopTime, MaxNap: s.maxNap(),
		Topology:     s.topology,
		ReadTopology: s.topologyNow,
		Changed:      (&leftOutWatch{root: s.cfg.Root, log: s.log}).changed,
		Log:          s.log,
		Other:        s.cfg.schedExt,
	}
	if r, ok := s.host.(*bpf.Reader); ok && cfg.Hold != scheduler.HoldAll { // else what sleeps is held, too
		d.Awake = r
	}
	s.reloader.daemon, s.reloader.balancer = d, balancer
	switch {
	case s.kernel != nil:
		s.kernel.steer(d, balancer)
	case s.enforcer != nil:
		d.Enforcer = s.enforcer
	}
	if s.canary != nil {
		d.Speeds = s.canary
	}
	if s.idle != nil {
		d.Starved, d.Watch = s.idle.starved, s.idle.arm
	}
	if cfg.Mode == scheduler.Assist {
		d.Lease = s.cfg.Lease
	}
	return d
}
