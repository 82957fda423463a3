// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/lab"
)

// labCmd is the virtual host.
type labCmd struct {
	Run       labRunCmd       `cmd:"" help:"Run a command in a virtual host of any shape, on a stock kernel."`
	Shell     labShellCmd     `cmd:"" help:"Open a shell in a virtual host."`
	Fetch     labFetchCmd     `cmd:"" help:"Download kernels from Debian's packages, without installing them."`
	Test      labTestCmd      `cmd:"" help:"Run this module's tests that need a kernel, on real kernels."`
	Record    labRecordCmd    `cmd:"" help:"Record the decisions of a stock kernel under many loads, as datasets."`
	RecordRun labRecordRunCmd `cmd:"" hidden:""`
}

// labFlags describe a guest.
type labFlags struct {
	Topology string   `default:"2x4x2" help:"Shape of the guest: SOCKETSxCORESxTHREADS or SOCKETSxCACHESxCORESxTHREADS. Each socket is a NUMA node."`
	Memory   int      `placeholder:"MIB" help:"Memory of the guest in MiB, spread over the nodes. Default: 1024 per node."`
	Accel    string   `default:"auto" enum:"auto,kvm,tcg" help:"KVM, emulation (tcg), or KVM if a probe guest boots with it (auto)."`
	Threads  string   `default:"auto" enum:"auto,single,multi" help:"Emulate all CPUs in one host thread (single; no known failures) or each in its own (multi; faster, but guests oops now and then). Default (auto): single, or what other flags need."`
	ICount   bool     `name:"icount" help:"Let the guest's clock advance by a nanosecond per instruction. Implies emulation with --threads single."`
	CgroupV1 bool     `name:"cgroup-v1" help:"Mount the v1 cpuset hierarchy instead of v2. Debian's 6.1 has it, 6.12 and 7.2 do not."`
	Append   string   `empty:"" placeholder:"PARAMS" help:"Additional kernel parameters."`
	Copy     []string `sep:"none" placeholder:"FILE[:DEST]" help:"Copy a file or directory into the guest, a program with its libraries. Default: programs to /bin, others to /root. Repeatable."`
	Cache    string   `placeholder:"DIR" help:"Cache of kernels and built programs. Default: mllb in the user's cache directory."`
	Tries    int      `default:"3" help:"Number of guests to start, one after the other, if one oopses or hangs."`
}

// kernelFlag is apart because lab test has its own.
type kernelFlag struct {
	Kernel string `default:"6.12" placeholder:"6.1|6.12|7.2|PATH" help:"A kernel fetched by lab fetch, or a bzImage. Default: 6.12."`
}

// labError is a failure of the lab, not of what ran in it.
type labError struct{ error }

func (e labError) Unwrap() error { return e.error }

// ExitCode keeps the lab's own failures apart from the command's.
func (e labError) ExitCode() int { return lab.ExitLabFailed }

// labFailed gives an error of the lab its exit status; those of the guest and
// of the command carry their own, and so does a Ctrl-C.
func labFailed(ctx context.Context, err error) error {
	var command *lab.ExitError
	var guest *lab.GuestError
	var usage usageError
	switch {
	case err == nil, errors.As(err, &command), errors.As(err, &guest), errors.As(err, &usage):
		return err
	case ctx.Err() != nil:
		return interrupted{err}
	}
	return labError{err}
}

// interrupted is a run that a signal ended.
type interrupted struct{ error }

func (interrupted) ExitCode() int { return 130 } // as sh(1) has it for SIGINT

// notice prints progress on stderr.
func notice(out output) func(string) {
	return func(s string) { fmt.Fprintf(out.stderr, "mllb lab: %s\n", s) }
}

func (f labFlags) cacheDir() (string, error) {
	if f.Cache != "" {
		return filepath.Abs(f.Cache)
	}
	return lab.CacheDir()
}

// guest makes a configuration of the flags, the kernel and the programs.
func (f labFlags) guest(ctx context.Context, out output, kernel string, place placeFlags) (lab.Config, error) {
	if f.Threads == "auto" && place.given() {
		f.Threads = "multi"
	}
	cfg, err := f.config(out)
	if err == nil {
		err = place.place(&cfg)
	}
	if err == nil {
		err = f.checkMemory(cfg.Shape)
	}
	if err == nil {
		err = f.kernel(ctx, &cfg, kernel)
	}
	if err == nil {
		err = f.programs(ctx, &cfg)
	}
	return cfg, err
}

func (f labFlags) checkMemory(shape lab.Shape) error {
	if f.Memory < 0 || f.Memory > 0 && f.Memory < 128*shape.Sockets {
		return usagef("--memory %d: each node needs at least 128 MiB", f.Memory)
	}
	return nil
}

// config turns the flags into a guest's configuration, but for its kernel and
// programs.
func (f labFlags) config(out output) (lab.Config, error) {
	shape, err := lab.ParseShape(f.Topology)
	if err != nil {
		return lab.Config{}, usageError{err}
	}
	if err := f.checkMemory(shape); err != nil {
		return lab.Config{}, err
	}
	if f.Tries < 1 {
		return lab.Config{}, usagef("--tries %d is below 1", f.Tries)
	}
	self, err := os.Executable()
	if err != nil {
		return lab.Config{}, fmt.Errorf("find this program: %w", err)
	}
	cfg := lab.Config{
		Shape: shape, Init: self, MemoryMiB: f.Memory, Params: f.Append, CgroupV1: f.CgroupV1,
		Single: f.Threads != "multi", ICount: f.ICount, Tries: f.Tries,
		Stdout: out.stdout, Stderr: out.stderr, Notice: notice(out),
	}
	for _, arg := range f.Copy {
		file, err := lab.ParseCopy(arg)
		if err != nil {
			return cfg, usageError{err}
		}
		cfg.Files = append(cfg.Files, file)
	}
	return cfg, nil
}

// programs puts in the guest what the host has of the usual programs. That
// one is missing is said, and matters only to a command that needs it.
func (f labFlags) programs(ctx context.Context, cfg *lab.Config) error {
	cache, err := f.cacheDir()
	if err != nil {
		return err
	}
	mllbd, err := lab.Tool(ctx, cache, "mllbd")
	if err != nil {
		cfg.Notice("mllbd is missing in the guest: " + err.Error())
	} else {
		cfg.Files = append(cfg.Files, lab.File{Host: mllbd, Guest: "/bin/mllbd"})
	}
	stress, err := lab.Optional("stress-ng")
	cfg.Files = append(cfg.Files, stress...)
	return err
}

// kernel finds the kernel and settles the accelerator, which needs one.
func (f labFlags) kernel(ctx context.Context, cfg *lab.Config, name string) error {
	cache, err := f.cacheDir()
	if err != nil {
		return err
	}
	if cfg.Kernel, err = lab.FindKernel(cache, name); err != nil {
		return err
	}
	cfg.Accel, err = lab.ResolveAccel(ctx, lab.Accel(f.Accel), cache, *cfg)
	return err
}

type labRunCmd struct {
	labFlags
	kernelFlag
	placeFlags
	Out     string        `placeholder:"DIR" help:"Copy what the command leaves in /out to DIR."`
	Console string        `placeholder:"FILE" help:"Write the kernel's console to FILE."`
	Env     []string      `sep:"none" placeholder:"KEY=VALUE" help:"Set in the command's environment. Repeatable."`
	Timeout time.Duration `default:"10m" help:"Time limit for the whole guest, by the host's clock; 0: none."`
	Command []string      `arg:"" passthrough:"" name:"cmd" help:"Command to run, as root."`
}

// Help documents what flags cannot.
func (labRunCmd) Help() string {
	return `The guest contains busybox, mllb, mllbd and, if this host has it, stress-ng.
Processes that the command leaves running are killed when it ends.

Durations in an emulated guest mean nothing, but for one case: ratios between runs in one guest, of work
whose speed is decided by how the guest's CPUs share those of the host. --host-cpus and --slow arrange that:

  --topology 1x2x2 --tell 1x4x1 --host-cpus 0,0,1,1   two cores of two CPUs, of which the guest knows nothing
  --topology 1x2x2 --host-cpus 0,0,1,1                the same, and it is told
  --topology 1x2x1 --host-cpus 0,1 --slow 1=50        a CPU of half the speed, of which the guest knows nothing

Without --host-cpus and --slow, --topology is what the guest is told, and all that there is.
The command finds the arrangement in its environment, as ` + cpusEnv + `.

Exit status:
` + exitHelp("lab run")
}

// Run runs the command and returns its status as an error.
func (c *labRunCmd) Run(ctx context.Context, out output) error {
	return labFailed(ctx, c.run(ctx, out))
}

func (c *labRunCmd) run(ctx context.Context, out output) error {
	args := c.Command
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return usagef("lab run: there is no command after --")
	}
	if c.Timeout < 0 {
		return usagef("--timeout %v is below 0", c.Timeout)
	}
	if err := checkDir("--out", c.Out); err != nil {
		return err
	}
	var console io.WriteCloser
	if c.Console != "" {
		var err error
		if console, err = namedfile.Log(c.Console, os.O_TRUNC); err != nil {
			return fmt.Errorf("--console: %w", err)
		}
		defer console.Close()
	}
	cfg, err := c.guest(ctx, out, c.Kernel, c.placeFlags)
	if err != nil {
		return err
	}
	cfg.Args, cfg.Env, cfg.OutDir, cfg.Timeout = args, append(cfg.Env, c.Env...), c.Out, c.Timeout
	if console != nil {
		cfg.Console = console
	}
	return runGuest(ctx, cfg)
}

// runGuest says what is booted before and what was noticed after.
func runGuest(ctx context.Context, cfg lab.Config) error {
	cfg.Notice(fmt.Sprintf("booting %s, %s, %s", cfg.Kernel, cfg.Shape, cfg.Accel))
	res, err := lab.Run(ctx, cfg)
	var died *lab.GuestError
	if errors.As(err, &died) {
		cfg.Notice("the end of the guest's console:\n" + died.ConsoleTail())
	}
	if n := len(res.Warnings); n > 0 {
		cfg.Notice(fmt.Sprintf("the guest's kernel printed %s, first: %s", number.Of(n, "warning"), res.Warnings[0]))
	}
	if n := len(res.Stalls); n > 0 {
		cfg.Notice(fmt.Sprintf("the guest's kernel reported %s, first: %s", number.Of(n, "stall"), res.Stalls[0]))
	}
	if res.Skipped > 0 {
		cfg.Notice(fmt.Sprintf("not copied from /out, for being neither files nor directories: %d", res.Skipped))
	}
	if cfg.OutDir != "" && err == nil {
		cfg.Notice(fmt.Sprintf("copied %s to %s", number.Of(res.Files, "file"), cfg.OutDir))
	}
	return err
}

type labFetchCmd struct {
	Series []string `arg:"" optional:"" placeholder:"6.1|6.12|7.2" help:"Kernel series. Default: 6.12 and 7.2."`
	Cache  string   `placeholder:"DIR" help:"Cache of kernels. Default: mllb in the user's cache directory."`
}

// Run fetches each series and prints a line for it.
func (c *labFetchCmd) Run(ctx context.Context, out output) error {
	cache, err := labFlags{Cache: c.Cache}.cacheDir()
	if err != nil {
		return labFailed(ctx, err)
	}
	if len(c.Series) == 0 {
		c.Series = lab.Series()
	}
	for _, series := range c.Series {
		k, err := lab.Fetch(ctx, cache, series, notice(out))
		if err != nil {
			return labFailed(ctx, err)
		}
		if _, err := fmt.Fprintf(out.stdout, "%s\t%s\t%s %s\t%s\n", k.Series, k.Release, k.Package, k.Version, k.Path); err != nil {
			return err
		}
	}
	return nil
}
