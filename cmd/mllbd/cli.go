// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"mllb/internal/argv"
	"mllb/internal/manual"
	"mllb/internal/version"
	"mllb/scheduler"
)

// cli is the whole command line. Every flag may also come from the
// environment, as MLLBD_ and its name.
type cli struct {
	Run        runCmd       `cmd:"" help:"Observe or balance: until interrupted, for a time, or for as long as CMD runs."`
	Restore    restoreCmd   `cmd:"" help:"Undo what a killed mllbd left behind."`
	Check      checkCmd     `cmd:"" help:"Say what works on this host for this user, and if not, why."`
	HelpCmd    argv.HelpCmd `cmd:"" name:"help" help:"Show the help of a command."`
	VersionCmd struct{}     `cmd:"" name:"version" help:"Print the version."`

	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
	Man     manual.Flag      `name:"man-pages" env:"-" hidden:"" help:"Print the manual pages and exit."`
}

// common holds what every command takes.
type common struct {
	Config   string `help:"Read the values of flags from FILE; default: ${config}, if there is one." placeholder:"FILE"`
	Root     string `help:"Read proc and sys below DIR instead of /; run takes it only with --mode observe." placeholder:"DIR" default:"/"`
	StateDir string `help:"Directory of the journal, of the lock, and of the socket that mllb top looks at." placeholder:"DIR" default:"/run/mllb"`
}

// stateHint says what to do where the state directory is somebody else's, as the
// default one is to users other than root.
func (c *common) stateHint(err error) error {
	if unix.Access(c.StateDir, unix.W_OK|unix.X_OK) == nil {
		return err
	}
	return fmt.Errorf("%w; choose a directory of your own by --state-dir or MLLBD_STATE_DIR, or run mllbd as root", err)
}

// runCmd is `mllbd run`: flags, environment and configuration in one.
type runCmd struct {
	common
	Mode      string        `help:"observe changes nothing; assist moves what the policy approves and holds it for a lease; own holds the threads it manages where that is worth it; auto is assist with CMD or --cgroup, and otherwise observe." enum:"auto,${modes}" default:"auto"`
	Profile   string        `help:"Start from a set of values for flags: observe, batch, latency, or one of your own in ${profile_dir}." placeholder:"NAME"`
	Policy    string        `help:"Policy that decides on moves: ${enum}." enum:"${policies}" default:"${policy}"`
	Model     string        `help:"Model file for --policy mlp; default: the built-in one." placeholder:"FILE"`
	Interval  time.Duration `help:"Time between ticks, ${min_interval} to ${max_interval}." default:"100ms"`
	MaxCPU    float64       `name:"max-cpu" help:"CPU budget of mllbd itself, in percent of one CPU: it reduces its tick rate to stay within this. 0: no limit; see below for what it covers." placeholder:"PERCENT" default:"1"`
	Duration  time.Duration `help:"Stop after this time; 0: no limit." default:"0s"`
	Backend   string        `aliases:"enforcer" env:"MLLBD_BACKEND,MLLBD_ENFORCER" help:"How threads are placed: affinity sets their masks by sched_setaffinity, cpuset puts them into per-CPU cpusets below --cgroup, and scx loads a sched_ext scheduler that asks the same policy, for own; auto is scx for own of a whole host where that works, and otherwise affinity. See below." enum:"${backends}" default:"auto"`
	Fallback  string        `help:"What --backend scx goes on with if its scheduler cannot be loaded or the kernel ends it: nothing, or affinity." enum:"none,affinity" default:"none"`
	Cgroup    string        `help:"Manage only threads in this cgroup and below it: a directory of any mounted hierarchy, absolute or relative to its mount." placeholder:"DIR"`
	Hold      string        `help:"What own holds: busy threads whose place is worth it, every busy thread, or all that it manages (worth, busy, all); see below." enum:"${holds}" default:"worth"`
	Exclude   []string      `help:"Do not manage these: programs (the name of a process or of its executable), single threads by name, or cgroups (with a '/'; one that comes later by its full directory)." placeholder:"NAME|CGROUP"`
	Budget    int           `help:"Maximum number of moves per tick; 0: grows with the number of CPUs." default:"0"`
	Lease     time.Duration `help:"How long assist holds a thread that it moved." default:"1s"`
	CoolDown  time.Duration `help:"Minimum time between two moves of a thread; a tenth of it if a CPU is idle." default:"500ms"`
	Topology  string        `help:"What CPUs share: as sysfs says; as a probe finds at the start, which takes a second or two; or as the machine profile FILE says, made by mllb topology --probe --out FILE." placeholder:"sysfs|probe|FILE" default:"sysfs"`
	Speed     string        `help:"canary measures what each CPU is worth by a little work on it, about once a second, from threads of mllbd's own and within --max-cpu, and loads compare by that; off does not. An experiment: what it gains is not yet measured." enum:"canary,off" default:"off"`
	Snapshot  string        `help:"How to read the host: ${enum}. auto uses bpf where the kernel allows it." enum:"auto,bpf,proc" default:"auto"`
	Events    string        `help:"Append one JSON line for each decision to FILE; SIGHUP reopens it." placeholder:"FILE"`
	Report    string        `help:"At the end, write a report to FILE, as JSON." placeholder:"FILE"`
	Compare   *bool         `help:"Also ask the policy about the kernel's own decisions and count how often both agree; default: in observe, where they can be traced." negatable:""`
	Decisions uint64        `help:"Stop after comparing N of the kernel's decisions; 0: no limit." placeholder:"N" default:"0"`
	Listen    string        `help:"Serve /, /metrics and /healthz at ADDR, such as 127.0.0.1:9184." placeholder:"ADDR"`
	View      *bool         `help:"Draw the live view, as mllb top does but without keys; default: on a terminal, unless CMD runs on it." negatable:""`
	LogForm   string        `name:"log-format" help:"Log format: ${enum}." enum:"text,json" default:"text"`
	LogLevel  slog.Level    `help:"Minimum log level: debug, info, warn or error." default:"info"`

	User string `help:"Run CMD as this user; default: under sudo the user who called it, otherwise the one who runs mllbd." placeholder:"NAME"`

	Command []string `arg:"" optional:"" passthrough:"partial" name:"cmd" help:"Run this command, manage only it and its descendants, and exit with its status."`
}

// Help documents what flags cannot.
func (runCmd) Help() string {
	return strings.NewReplacer("${config}", defaultConfig, "${reloadable}", reloadableFlags()).Replace(runHelp) +
		"\n\n" + exitHelp("run", withCMD)
}

const runHelp = `CMD is started as by env(1): it gets its arguments byte for byte, shares
mllbd's place in a pipeline and its job, and is looked for in PATH; a script
without #! is run by /bin/sh. If mllbd fails or ends first, CMD goes on without it. What
CMD starts while --mode own holds it may see one CPU for a moment; a set-user-ID
program keeps the mask it was held by, unless mllbd is root.

--hold worth holds a busy thread only while it has a core to itself and there are
worse places: slower CPUs, shared cores, other caches or nodes. Elsewhere the
kernel's freedom to move it is worth more: what mllbd moved is let go after its
cool-down. Under --policy never, every busy thread is held.

--backend scx narrows no mask: the kernel asks mllb's scheduler where a thread
that wakes is to run, and what an idle CPU pulls. With CMD or --cgroup it is for
those threads alone, which are put into the scheduling class SCHED_EXT and back;
the kernel runs that class after the fair one, so beside other busy threads they
get what is left. --hold, --budget, --lease and --cool-down are for the other
backends.

Under sudo, CMD runs as the user who called sudo: with their groups and no
capabilities, and with HOME, USER and LOGNAME set. --user root runs it as root.

Each value comes from the first of these that has it: the flag, its environment
variable (MLLBD_INTERVAL), the configuration (interval: 50ms), the profile, the
default. With CMD, only state-dir is taken from ${config}.

SIGINT, SIGTERM and SIGQUIT end the run, and so does SIGHUP if mllbd's terminal
went away. Otherwise SIGHUP reopens --events and reloads the configuration and
the model: ${reloadable} take effect at once. Other changes need a restart, and
are named in the log. With CMD, all four are passed on to it, and SIGHUP also
reopens --events.

--max-cpu covers the CPU time of mllbd itself: snapshots, plans, holds, following
forks, reading the decisions that --compare traces, outputs and --listen. It
delays ticks only, never a restore or the mask of a forked child. What is not
used in half a minute may be used later, and mllbd begins with as much. eBPF
programs run on the time of the threads that they trace, and are not in it.`

type restoreCmd struct {
	common
	ConfigErr error `kong:"-"` // what is wrong with the configuration
}

// Help documents what flags cannot.
func (restoreCmd) Help() string {
	return "Gives threads the masks back that a killed mllbd left narrowed, and removes its cpusets and journal. The\n" +
		"next mllbd run does the same when it starts.\n\n" + exitHelp("restore")
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
	holds = []string{scheduler.HoldBusy: "busy", scheduler.HoldAll: "all", scheduler.HoldWorth: "worth"}
)

var defaults = kong.Vars{
	"backends": strings.Join(backends, ","),
	"modes":    strings.Join(modes, ","), "holds": strings.Join(holds, ","),
	"policies": strings.Join(scheduler.PolicyNames(), ","), "policy": scheduler.PolicyNames()[0],
	"config": defaultConfig, "profile_dir": profileDir,
	"man_section": "8", "version": "mllbd " + version.Read().String(),
	"min_interval": minInterval.String(), "max_interval": maxInterval.String(),
	"verdicts": strings.Join(verdictNames(), ","), "exit_required": strconv.Itoa(exitRequired),
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
		if c.Command = c.Command[1:]; len(c.Command) == 0 {
			return errors.New("there is no command after --")
		}
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
	if c.Mode == "auto" {
		c.Mode = c.defaultMode()
	}
	return errors.Join(c.validateUse(), c.validateListen())
}

// defaultMode changes only what somebody named.
func (c *runCmd) defaultMode() string {
	switch {
	case c.Backend == backendSCX:
		return "own"
	case c.Root == "/" && c.scoped():
		return "assist"
	}
	return "observe"
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
	case c.User != "" && len(c.Command) == 0:
		return errors.New("--user is for CMD")
	case c.Backend == backendCPUSet && c.Cgroup == "":
		return errors.New("--backend cpuset needs --cgroup: it makes its cpusets there")
	case c.Backend == backendSCX && c.Mode != "own":
		return fmt.Errorf("--backend scx schedules by itself, as --mode own does; --mode %s does not", c.Mode)
	case c.Backend == backendSCX && c.nothingExcluded() != nil:
		return c.nothingExcluded()
	case c.Fallback != "none" && c.Backend != backendSCX:
		return errors.New("--fallback is for --backend scx")
	case c.Root != "/" && c.Speed == "canary":
		return errors.New("--speed canary measures the CPUs of this machine, not --root")
	case c.Root != "/" && c.Mode != "observe":
		return errors.New("--root is only for --mode observe")
	case c.Root != "/" && c.Topology != topologySysfs:
		return fmt.Errorf("--topology %s is of this machine, not of --root", c.Topology)
	}
	if c.Decisions > 0 { // it waits for them, so they must be available
		if c.Compare != nil && !*c.Compare {
			return errors.New("--decisions requires --compare")
		}
		yes := true
		c.Compare = &yes
	}
	if c.Compare != nil && *c.Compare && c.Root != "/" {
		return errors.New("--compare asks the running kernel, not --root")
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
