// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"mllb/internal/number"
	"mllb/lab"
)

type labTestCmd struct {
	labFlags
	Kernel  []string      `placeholder:"6.1|6.12|7.2|PATH" help:"Kernel to test on. Repeatable. Default: 6.12 and 7.2."`
	Fetch   bool          `help:"Fetch kernels that are missing."`
	Short   bool          `help:"Run the tests with -test.short."`
	Match   string        `placeholder:"REGEX" help:"Run only the tests that match."`
	Names   bool          `help:"Print the name of every test, not only of those that failed or were skipped."`
	Verbose bool          `short:"v" help:"Print the name and the log of every test."`
	Logs    string        `placeholder:"DIR" help:"Directory of the full outputs. Default: logs in the cache."`
	Guests  int           `default:"0" placeholder:"N" help:"Guests to run at once. Default: one for each CPU of this host with --threads single, else one."`
	Timeout time.Duration `default:"20m" help:"Time limit for one package on one kernel."`
	Retries int           `default:"1" help:"How often to repeat failed tests, in a fresh guest. One that then passes is reported as FLAKY and is no failure: emulated guests get starved."`
	Package []string      `arg:"" optional:"" help:"Packages to test, such as features/bpf. Default: those whose tests need a kernel."`
}

// errTestsFailed is said after the table that shows them.
var errTestsFailed = errors.New("tests failed")

// Run builds the tests, runs them in guests and counts.
func (c *labTestCmd) Run(ctx context.Context, out output) error {
	err := c.run(ctx, out)
	if errors.Is(err, errTestsFailed) {
		return err
	}
	return labFailed(ctx, err)
}

func (c *labTestCmd) run(ctx context.Context, out output) error {
	if c.Retries < 0 {
		return usagef("--retries %d is below 0", c.Retries)
	}
	if c.Guests < 0 {
		return usagef("--guests %d is below 0", c.Guests)
	}
	if err := checkDir("--logs", c.Logs); err != nil {
		return err
	}
	root, err := lab.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	cache, err := c.cacheDir()
	if err != nil {
		return err
	}
	cfg, err := c.config(out)
	if err != nil {
		return err
	}
	kernels, err := c.kernels(ctx, cache, &cfg)
	if err != nil {
		return err
	}
	if err := c.programs(ctx, &cfg); err != nil {
		return err
	}
	if c.Logs == "" {
		c.Logs = filepath.Join(cache, "logs")
	}
	if len(c.Package) == 0 {
		c.Package = lab.KernelPackages
	}
	cfg.Timeout = c.Timeout
	suite := lab.Suite{
		Root: root, Cache: cache, Packages: c.Package, Kernels: kernels, Guest: cfg, Guests: c.guests(cfg), Tries: c.Tries, Retries: c.Retries,
		Short: c.Short, Run: c.Match, Logs: c.Logs,
		Report: func(p lab.Package) { c.report(out.stdout, p) },
	}
	all, err := suite.All(ctx)
	if err != nil {
		return err
	}
	return summary(out.stdout, kernels, all)
}

// guests is how many to run at once: as many as do not share CPUs of the host.
func (c *labTestCmd) guests(cfg lab.Config) int {
	switch {
	case c.Guests > 0:
		return c.Guests
	case cfg.Accel == lab.AccelTCG && (cfg.Single || cfg.ICount):
		return runtime.NumCPU()
	}
	return 1
}

// kernels finds or fetches them.
func (c *labTestCmd) kernels(ctx context.Context, cache string, cfg *lab.Config) ([]lab.Kernel, error) {
	if len(c.Kernel) == 0 {
		c.Kernel = lab.Series()
	}
	var all []lab.Kernel
	for _, name := range c.Kernel {
		err := c.labFlags.kernel(ctx, cfg, name)
		if errors.Is(err, lab.ErrNoKernel) && c.Fetch {
			if _, err := lab.Fetch(ctx, cache, name, cfg.Notice); err != nil {
				return nil, err
			}
			err = c.labFlags.kernel(ctx, cfg, name)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, cfg.Kernel)
	}
	return all, nil
}

// flakyNote follows the name of a test.
var flakyNote = map[string]string{"FLAKY": " (failed, but passed when repeated)"}

// report prints one package on one kernel.
func (c *labTestCmd) report(w io.Writer, p lab.Package) {
	verdict := "ok  "
	if p.Err != nil {
		verdict = "FAIL"
	}
	fmt.Fprintf(w, "%s %s %s: %d passed, %d skipped, %d failed (%d s)", verdict, p.Kernel, p.Package,
		p.Count("PASS"), p.Count("SKIP"), p.Count("FAIL"), int(p.Wall.Seconds()))
	if n := p.Count("FLAKY"); n > 0 {
		fmt.Fprintf(w, ", %d flaky", n)
	}
	if p.Retries > 0 {
		fmt.Fprintf(w, ", repeated %s", number.Of(p.Retries, "time"))
	}
	if p.Died > 0 {
		fmt.Fprintf(w, ", %s died", number.Of(p.Died, "guest"))
	}
	if p.Stalls > 0 {
		fmt.Fprintf(w, ", %s", number.Of(p.Stalls, "stall"))
	}
	fmt.Fprintln(w)
	for _, t := range p.Tests {
		if t.Verdict == "PASS" && !c.Names && !c.Verbose {
			continue
		}
		fmt.Fprintf(w, "     %s %s%s\n", t.Verdict, t.Name, flakyNote[t.Verdict])
		if t.Verdict == "PASS" && !c.Verbose {
			continue
		}
		for _, line := range t.Log {
			fmt.Fprintf(w, "          %.300s\n", line)
		}
	}
	if p.Err == nil {
		return
	}
	fmt.Fprintf(w, "     %v\n", p.Err)
	var failed *lab.ExitError
	if p.Count("FAIL") == 0 || !errors.As(p.Err, &failed) || failed.Status != 1 { // not, or not only, a test's verdict
		fmt.Fprintf(w, "     | %s\n", strings.Join(p.Tail, "\n     | "))
	}
	var died *lab.GuestError
	if errors.As(p.Err, &died) {
		fmt.Fprintf(w, "     console of the guest:\n%s\n", died.ConsoleTail())
	}
}

// summary prints a line for each kernel. A kernel on which nothing passed has
// proved nothing: that is a failure too.
func summary(w io.Writer, kernels []lab.Kernel, all []lab.Package) error {
	failed := false
	for _, k := range kernels {
		pass, skip, fail, flaky, died := 0, 0, 0, 0, 0
		for _, p := range all {
			if p.Kernel != k.Release {
				continue
			}
			pass, skip, fail = pass+p.Count("PASS"), skip+p.Count("SKIP"), fail+p.Count("FAIL")
			flaky, died = flaky+p.Count("FLAKY"), died+p.Died
			failed = failed || p.Err != nil
		}
		fmt.Fprintf(w, "%s: %d passed, %d skipped, %d failed, %d flaky; guests restarted after an oops or a hang: %d\n",
			k.Release, pass, skip, fail, flaky, died)
		failed = failed || pass == 0
	}
	if failed {
		return errTestsFailed
	}
	return nil
}
