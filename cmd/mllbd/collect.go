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
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"mllb/dataset"
	"mllb/features/trace"
)

// collectCmd is `mllbd collect`.
type collectCmd struct {
	Out        string        `required:"" help:"Write the records to FILE, which must not exist yet." placeholder:"FILE"`
	Records    uint64        `help:"End once N usable records are written, or a few more; 0: run on." placeholder:"N" default:"0"`
	Duration   time.Duration `help:"End after this time; 0: run on." default:"0s"`
	Label      string        `help:"Tag that stands in every row, such as the workload's name." placeholder:"TAG"`
	Load       string        `help:"How busy the host is meant to be, such as 50, 100 or 200; stands in every row." placeholder:"PERCENT"`
	Seed       uint64        `help:"Seed of the workload, for the file's metadata."`
	Recipe     string        `help:"What this is part of, such as a command; stands in the file with the rest of this command line." placeholder:"TEXT"`
	AllDomains bool          `help:"Record SMT domains too, as the paper did. There the kernel's rule never says stay; only feature set locality17 knows them."`
	Usable     bool          `help:"Leave out the calls that a hard condition decided, which no model learns from."`
	LogForm    string        `name:"log-format" help:"Log as ${enum}." enum:"text,json" default:"text"`
}

// maxTag bounds what stands in every row.
const maxTag = 64

// Validate is called by kong after parsing.
func (c *collectCmd) Validate() error {
	if c.Duration < 0 {
		return fmt.Errorf("--duration: %v is below 0", c.Duration)
	}
	for flag, text := range map[string]string{"label": c.Label, "load": c.Load} {
		if len(text) > maxTag || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0xfffd }) {
			return fmt.Errorf("--%s: %q is longer than %d bytes or not plain text", flag, text, maxTag)
		}
	}
	return nil
}

// Help documents what flags cannot.
func (collectCmd) Help() string {
	return `Records go to small files in FILE.parts, which become FILE at the end. Of a collect that was killed,
mllb dataset info --repair FILE saves all but the last of these.

The kernel counts failed migrations only while kernel.sched_schedstats is 1, which collect sets and sets back.
A collect that was killed leaves it at 1, which costs a little: sysctl kernel.sched_schedstats=0 ends that.`
}

// run records what the kernel decides until it has enough, the time is over or
// a signal comes; in each case the file is finished. What is wrong with the
// host is found out before the file is made.
func (c *collectCmd) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	have, err := capabilities()
	if err != nil {
		return err
	}
	if m := missingCaps(have, capBPF, capPerfmon); m != "" {
		return fmt.Errorf("collect needs %s to trace the kernel", m)
	}
	if _, err := os.Lstat(c.Out); err == nil {
		return fmt.Errorf("--out: %s exists already", c.Out)
	}
	tracer, err := trace.Open(trace.Options{AllDomains: c.AllDomains, Usable: c.Usable})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tracer.Close()) }()
	meta, err := c.meta(tracer)
	if err != nil {
		return err
	}
	out, err := dataset.Create(c.Out, meta)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	col := &collector{source: tracer, out: out, want: c.Records, duration: c.Duration, progress: c.progress(stderr), start: time.Now()}
	err = col.collect(ctx)
	col.summary(stdout, c.Out, tracer.Rung)
	return err
}

// meta describes the run.
func (c *collectCmd) meta(t *trace.Tracer) (dataset.Meta, error) {
	host, err := os.Hostname()
	if err != nil {
		return dataset.Meta{}, err
	}
	return dataset.Meta{CreatedBy: "mllbd collect", Runs: []dataset.Run{{
		Load: c.Load, Tag: c.Label, Host: host, Kernel: t.Kernel,
		Topology: t.Topology.String(), NUMA: &t.Topology.NUMA,
		Command: os.Args, Seed: c.Seed, Started: time.Now(), MigrationCostSource: t.CostSource,
	}}}, nil
}

// progress is drawn where a person looks, else logged.
func (c *collectCmd) progress(stderr io.Writer) progress {
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bar{w: f, width: func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return w
		}}
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if c.LogForm == "json" {
		log = slog.New(slog.NewJSONHandler(stderr, nil))
	}
	return &logged{log: log}
}
