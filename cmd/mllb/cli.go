// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"

	"mllb/internal/argv"
	"mllb/internal/manual"
	"mllb/internal/version"
)

// cli is the command line. A subcommand is a field here, and a type with its
// flags as fields and a method Run(context.Context, output) error.
type cli struct {
	Topology      topologyCmd      `cmd:"" help:"Show how CPUs share cores, caches and nodes."`
	Top           topCmd           `cmd:"" help:"Watch what mllbd does, and why."`
	Lab           labCmd           `cmd:"" help:"Run commands and tests in a virtual host."`
	Collect       collectCmd       `cmd:"" help:"Record what the kernel's own balancer decides, for a dataset."`
	Dataset       datasetCmd       `cmd:"" help:"Inspect, check, merge, split and export recorded decisions."`
	Train         trainCmd         `cmd:"" help:"Train a model on recorded decisions and evaluate it on held-out ones."`
	Eval          evalCmd          `cmd:"" help:"Evaluate a model on recorded decisions, next to the rules that it has to match or beat."`
	Export        exportCmd        `cmd:"" help:"Write a model as a C header, golden vectors, ONNX or a blob for the kernel."`
	Stress        stressCmd        `cmd:"" help:"Keep CPUs busy: endless load for a scheduler to balance."`
	Reproduce     reproduceCmd     `cmd:"" help:"Repeat the paper's experiments and compare the results with its numbers."`
	ReproduceLive reproduceLiveCmd `cmd:"" hidden:""`
	Workload      workloadCmd      `cmd:"" help:"Do a fixed amount of work once, and verify it. mllb bench times it."`
	Bench         benchCmd         `cmd:"" help:"Compare workloads under the stock scheduler and under others."`
	BenchRun      benchRunCmd      `cmd:"" hidden:""`
	Prove         proveCmd         `cmd:"" help:"Find out what mllb does for this host, or for a command on it: everything in one report to send."`
	Report        reportCmd        `cmd:"" help:"Show the results of a benchmark, or compare those of several."`
	Latency       latencyCmd       `cmd:"" help:"Measure the latency of the kernel's balancer and of mllbd's."`

	HelpCmd    argv.HelpCmd `cmd:"" name:"help" help:"Show the help of a command."`
	VersionCmd versionCmd   `cmd:"" name:"version" help:"Print the version."`

	Version kong.VersionFlag `help:"Print the version and exit."`
	Man     manual.Flag      `name:"man-pages" hidden:"" help:"Print the manual pages and exit."`
}

// output is where a subcommand writes what it was asked for. Errors and
// progress go to stderr.
type output struct{ stdout, stderr io.Writer }

// run carries out one command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	served := false
	parser, err := kong.New(&cli{},
		kong.Name("mllb"),
		kong.Description("Tools for learned load balancing: machines, datasets, models, benchmarks. The daemon is mllbd."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { served = true }), // --help, --version, --man-pages or a completion
		manual.Texts(manualTexts),
		argv.Options(),
		argv.NoneEmpty(),
		kong.Vars{"version": "mllb " + version.Read().String()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(output{stdout, stderr}),
	)
	if err != nil {
		return err
	}
	kongplete.Complete(parser)
	if served {
		return nil
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if args, err = renamed(argv.Help(args), stderr); err != nil {
		return fmt.Errorf("%w (see: mllb workload --help)", err)
	}
	cmd, err := parser.Parse(args)
	if served {
		return nil
	}
	if err != nil {
		return usageError{argv.See("mllb", err)}
	}
	err = cmd.Run()
	var usage usageError
	if errors.As(err, &usage) {
		return argv.SeeCommand("mllb", cmd.Selected(), err)
	}
	return err
}

// createdBy is what a file says of the command that wrote it.
func createdBy(command string) string { return "mllb " + command + " " + version.Read().String() }

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out output) error {
	_, err := fmt.Fprintln(out.stdout, "mllb", version.Read().String())
	return err
}
