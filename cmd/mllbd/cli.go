// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"mllb/scheduler"
)

// cli is the whole command line. Every flag may also come from the
// environment, as MLLBD_ and its name.
type cli struct {
	Run     runCmd     `cmd:"" help:"Balance until interrupted, for a time, or for as long as CMD runs."`
	Restore restoreCmd `cmd:"" help:"Undo what an mllbd that was killed left behind."`
	Check   checkCmd   `cmd:"" help:"Say what this host and this user can do, rung by rung."`
	Collect collectCmd `cmd:"" help:"Record what the kernel's own balancer decides, for a dataset."`
	Latency latencyCmd `cmd:"" help:"Time the kernel's own balancer, and mllbd's."`
}

// common holds what every command takes.
type common struct {
	Root     string `help:"Read proc and sys below DIR instead of /; only to observe." placeholder:"DIR" default:"/"`
	StateDir string `help:"Where the journal and the lock live." placeholder:"DIR" default:"/run/mllb"`
}

// runCmd is `mllbd run`: flags, environment and configuration in one.
type runCmd struct {
	common
	Mode      string        `help:"observe changes nothing; assist moves what the policy approves and holds it for a lease; own holds every busy thread it manages." enum:"${modes}" default:"assist"`
	Policy    string        `help:"Who judges a move: ${enum}." enum:"mlp,cfs,always,never" default:"mlp"`
	Model     string        `help:"Model file for --policy mlp; default: the built-in one." placeholder:"FILE"`
	Interval  time.Duration `help:"Time between ticks, ${min_interval} to ${max_interval}." default:"100ms"`
	MaxCPU    float64       `name:"max-cpu" help:"How much of one CPU mllbd itself may take: it ticks less often before it takes more. 0: no limit." placeholder:"PERCENT" default:"1"`
	Duration  time.Duration `help:"End after this time; 0: run on." default:"0s"`
	Enforcer  string        `help:"affinity calls sched_setaffinity; cpuset makes per-CPU cpusets below --cgroup." enum:"affinity,cpuset" default:"affinity"`
	Cgroup    string        `help:"Manage only threads in this cgroup and below it: a directory of any mounted hierarchy, absolute or relative to its mount." placeholder:"DIR"`
	Hold      string        `help:"What own holds: busy threads, or all that it manages." enum:"${holds}" default:"busy"`
	Exclude   []string      `help:"Leave these alone: command names, or cgroups (with a '/')." placeholder:"NAME|CGROUP"`
	Budget    int           `help:"Moves a tick at the most; 0: grows with the CPUs." default:"0"`
	Lease     time.Duration `help:"How long assist holds a thread that it moved." default:"1s"`
	CoolDown  time.Duration `help:"How long a thread that moved is left where it is; a tenth of it, if a CPU is idle." default:"500ms"`
	Snapshot  string        `help:"How the host is read: ${enum}. auto takes bpf where the kernel allows it." enum:"auto,bpf,proc" default:"auto"`
	Events    string        `help:"Append one JSON line for each decision to FILE." placeholder:"FILE"`
	Report    string        `help:"At the end, write what was done to FILE, as JSON." placeholder:"FILE"`
	Compare   *bool         `help:"Put the kernel's own decisions to the policy too, as they are made, and count where both agree; default: in observe, where they can be traced." negatable:""`
	Decisions uint64        `help:"End once N of the kernel's decisions were compared; 0: run on." placeholder:"N" default:"0"`
	Listen    string        `help:"Serve /metrics and /healthz at ADDR, such as 127.0.0.1:9184." placeholder:"ADDR"`
	View      *bool         `help:"Draw the live view; default: on a terminal, unless CMD runs on it." negatable:""`
	LogForm   string        `name:"log-format" help:"Log as ${enum}." enum:"text,json" default:"text"`
	LogLevel  slog.Level    `help:"Least level to log: debug, info, warn or error." default:"info"`

	Command []string `arg:"" optional:"" passthrough:"partial" name:"cmd" help:"Manage this command and its descendants only, and exit as it does."`
}

type restoreCmd struct{ common }

type checkCmd struct {
	common
	JSON bool `name:"json" help:"Print JSON."`
}

// The bounds of --interval: below, mllbd would spend the time it tries to
// save; above, it is no balancer.
const (
	minInterval = time.Millisecond
	maxInterval = 10 * time.Second
)

// The values of --mode and --hold, in the order of the scheduler's constants.
var (
	modes = []string{scheduler.Observe: "observe", scheduler.Assist: "assist", scheduler.Own: "own"}
	holds = []string{scheduler.HoldBusy: "busy", scheduler.HoldAll: "all"}
)

var defaults = kong.Vars{
	"modes": strings.Join(modes, ","), "holds": strings.Join(holds, ","),
	"min_interval": minInterval.String(), "max_interval": maxInterval.String(),
}

// mode is --mode as the scheduler names it.
func (c *runCmd) mode() scheduler.Mode { return scheduler.Mode(index(modes, c.Mode)) }

func (c *runCmd) hold() scheduler.HoldPolicy { return scheduler.HoldPolicy(index(holds, c.Hold)) }

func index(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return 0
}

// Validate is called by kong after parsing: it checks what needs nothing but
// the command line.
func (c *runCmd) Validate() error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	for _, d := range []struct {
		flag     string
		got      time.Duration
		min, max time.Duration
	}{
		{"interval", c.Interval, minInterval, maxInterval},
		{"duration", c.Duration, 0, 1<<63 - 1},
		{"lease", c.Lease, time.Millisecond, time.Hour},
		{"cool-down", c.CoolDown, time.Millisecond, time.Hour},
	} {
		if d.got < d.min {
			return fmt.Errorf("--%s: %v is too short: at least %v", d.flag, d.got, d.min)
		}
		if d.got > d.max {
			return fmt.Errorf("--%s: %v is too long: at most %v", d.flag, d.got, d.max)
		}
	}
	return errors.Join(c.validateUse(), c.validateListen())
}

// validateUse refuses flags that contradict each other.
func (c *runCmd) validateUse() error {
	switch {
	case !(c.MaxCPU >= 0 && c.MaxCPU <= 100): // nor NaN
		return fmt.Errorf("--max-cpu: %v is not a share of one CPU, 0 to 100 percent", c.MaxCPU)
	case c.Budget < 0:
		return fmt.Errorf("--budget: %d is below 0", c.Budget)
	case c.Model != "" && c.Policy != "mlp":
		return fmt.Errorf("--model is for --policy mlp, not %s", c.Policy)
	case c.Enforcer == "cpuset" && c.Cgroup == "":
		return errors.New("--enforcer cpuset needs --cgroup: it makes its cpusets there")
	case c.Root != "/" && c.Mode != "observe":
		return errors.New("--root is only for --mode observe")
	}
	if c.Decisions > 0 { // it waits for them: then they must be to be had
		if c.Compare != nil && !*c.Compare {
			return errors.New("--decisions waits for what --no-compare leaves out")
		}
		yes := true
		c.Compare = &yes
	}
	if c.Compare != nil && *c.Compare && c.Root != "/" {
		return errors.New("--compare asks the running kernel, not --root")
	}
	for _, x := range c.Exclude {
		if x == "" {
			return errors.New("--exclude: a name is empty")
		}
	}
	return nil
}

func (c *runCmd) validateListen() error {
	if c.Listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	return nil
}
