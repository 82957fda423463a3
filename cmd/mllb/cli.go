// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// cli is the command line. A subcommand is a field here, and a type with its
// flags as fields and a method Run(context.Context, output) error.
type cli struct {
	Topology      topologyCmd      `cmd:"" help:"Show how CPUs share cores, caches and nodes."`
	Lab           labCmd           `cmd:"" help:"Run commands and tests in a virtual host."`
	Dataset       datasetCmd       `cmd:"" help:"Look into recorded decisions; check, merge, split and export them."`
	Train         trainCmd         `cmd:"" help:"Make a model of recorded decisions, and judge it on what it has not seen."`
	Eval          evalCmd          `cmd:"" help:"Judge a model on recorded decisions, beside the rules it has to beat or match."`
	Export        exportCmd        `cmd:"" help:"Write a model as a C header, as golden vectors, as ONNX."`
	Workload      workloadCmd      `cmd:"" help:"Keep CPUs busy, by a seed: loads for a scheduler to balance."`
	Reproduce     reproduceCmd     `cmd:"" help:"Repeat the paper from nothing to a report, beside its numbers."`
	ReproduceLive reproduceLiveCmd `cmd:"" hidden:""`
	Load          loadCmd          `cmd:"" help:"Do a fixed amount of work, once: what bench times."`
	Bench         benchCmd         `cmd:"" help:"Does it help? Run workloads under the stock scheduler and under others, in turns."`
	BenchRun      benchRunCmd      `cmd:"" hidden:""`
	Report        reportCmd        `cmd:"" help:"Show what benchmarks found; compare several, of one machine or of many."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// output is where a subcommand writes what it was asked for. Errors and
// progress go to stderr.
type output struct{ stdout, stderr io.Writer }

// run carries out one command line. --help and --version end the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	parser, err := kong.New(&cli{},
		kong.Name("mllb"),
		kong.Description("Learned load balancing: look at machines, data and models. The daemon is mllbd."),
		kong.Writers(stdout, stderr),
		kong.Vars{"version": "mllb " + version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(output{stdout, stderr}),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		return usagef("%w (mllb --help lists what there is)", err)
	}
	return cmd.Run()
}

// version is the module version or commit that the binary was built from.
func version() string {
	v, commit, dirty := "(devel)", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = " " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+dirty"
			}
		}
	}
	return v + commit + dirty + " " + runtime.Version()
}
