// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/alecthomas/kong"
	"github.com/coreos/go-systemd/v22/daemon"

	"mllb/internal/cgroup"
	"mllb/scheduler"
)

// reloadable are the flags that take effect between two ticks. The first two name
// where the values of others come from.
var reloadable = []string{"config", "profile", "model", "exclude", "max-cpu", "lease", "log-level"}

// reloadableFlags names those that do something themselves.
func reloadableFlags() string {
	flags := reloadable[2:]
	last := len(flags) - 1
	return "--" + strings.Join(flags[:last], ", --") + " and --" + flags[last]
}

// change is what a reload found, ready to take effect: nothing in it can fail any more.
type change struct {
	cfg *runCmd
	judge
	programs *scheduler.Programs
	excluded []*cgroup.Tree
}

// reloader has changes take effect on the loop's goroutine, after a tick. It is the
// last of the observers.
type reloader struct {
	*session
	daemon   *scheduler.Daemon
	balancer *scheduler.Balancer
	pending  atomic.Pointer[change]
}

// Tick implements scheduler.Observer.
func (r *reloader) Tick(*scheduler.Tick) {
	c := r.pending.Swap(nil)
	if c == nil {
		return
	}
	r.cfg.LogLevel, r.cfg.MaxCPU, r.cfg.Lease, r.cfg.Exclude = c.cfg.LogLevel, c.cfg.MaxCPU, c.cfg.Lease, c.cfg.Exclude
	r.logLevel.Set(r.cfg.LogLevel)
	r.daemon.MaxCPU = r.cfg.MaxCPU / 100
	if r.canary != nil {
		r.canary.SetMaxCPU(r.daemon.MaxCPU)
	}
	if r.cfg.mode() == scheduler.Assist {
		r.daemon.Lease = r.cfg.Lease
	}
	r.scope.Programs = c.programs
	r.watch(&cgroupTrees{log: r.log, scope: r.trees.scope, excluded: c.excluded})
	r.trees.refresh()
	r.use(c)
	r.log.Info("configuration is reloaded", "model", r.id.Model, "exclude", r.cfg.Exclude,
		"max_cpu", r.cfg.MaxCPU, "lease", r.cfg.Lease, "log_level", r.cfg.LogLevel)
	r.manager.tell(daemon.SdNotifyReady)
}

// use has the model that was read decide, and be shown.
func (r *reloader) use(c *change) {
	r.judge, r.id.Model = c.judge, c.name
	r.balancer.SetPolicy(r.policy)
	if r.kernel != nil {
		r.kernel.swap()
	}
	if r.agreement != nil {
		r.agreement.policy = r.policy
	}
	if r.events != nil {
		r.events.describe(r.set)
	}
	r.identify()
}

// reload reads command line, environment, configuration, profile and model again. It
// takes effect as a whole, after the next tick, or not at all, but for what needs
// another run: that is named.
func (s *session) reload() {
	s.manager.reloading()
	c, err := s.reread()
	if err != nil {
		s.log.Error("the configuration stays as it is", "err", err)
		s.manager.tell(daemon.SdNotifyReady)
		return
	}
	s.reloader.pending.Store(c)
}

func (s *session) reread() (*change, error) {
	var next cli
	ctx, err := next.parse(s.by.args, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	values := flagValues(ctx)
	var fixed []string
	for name, v := range values {
		if !slices.Contains(reloadable, name) && !reflect.DeepEqual(v, s.by.values[name]) {
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		slices.Sort(fixed)
		s.log.Warn("a reload cannot change this: restart mllbd for it", "flags", strings.Join(fixed, ","))
	}
	cfg := &next.Run
	cfg.Policy, cfg.Root = s.cfg.Policy, s.cfg.Root
	if s.kernel != nil {
		if err := cfg.nothingExcluded(); err != nil {
			return nil, err
		}
	}
	c := &change{cfg: cfg}
	if c.judge, err = cfg.openPolicy(s.log); err != nil {
		return nil, err
	}
	c.programs, c.excluded, err = s.excludes(cfg.Exclude, true)
	return c, err
}

// flagValues returns the values of a command's flags, which are copies.
func flagValues(ctx *kong.Context) map[string]any {
	values := make(map[string]any)
	for name, f := range flagsOf(ctx.Selected()) {
		values[name] = f.Target.Interface()
	}
	return values
}
