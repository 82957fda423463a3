// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features/trace"
	"mllb/learn/collect"
	"mllb/learn/dataset"
)

// collectCmd is `mllb collect`.
type collectCmd struct {
	Out        string        `required:"" help:"Write the records to FILE." placeholder:"FILE"`
	Force      bool          `help:"Overwrite FILE. Without it, an existing file that is not empty is an error."`
	Records    uint64        `help:"Stop after writing N usable records, or a few more; 0: no limit." placeholder:"N" default:"0"`
	Duration   time.Duration `help:"Stop after this time; 0: no limit." default:"0s"`
	Label      string        `empty:"" help:"Tag stored in every row, such as the name of the workload." placeholder:"TAG"`
	Load       string        `empty:"" help:"Intended load of the host, such as 50, 100 or 200; stored in every row." placeholder:"PERCENT"`
	Seed       uint64        `help:"Seed of the workload, for the file's metadata." placeholder:"N"`
	Recipe     string        `empty:"" help:"What this recording is part of, such as a command; stored in the file with the rest of this command line." placeholder:"TEXT"`
	AllDomains bool          `help:"Record SMT domains too, as the paper did. There the kernel's rule never says stay; only feature set locality17 distinguishes them."`
	Usable     bool          `help:"Leave out the calls that a hard condition decided, from which no model learns."`
	LogForm    string        `name:"log-format" help:"Log format: ${enum}." enum:"text,json" default:"text"`
}

// maxTag bounds what stands in every row.
const maxTag = 64

// Validate is called by kong after parsing.
func (c *collectCmd) Validate() error {
	if c.Duration < 0 {
		return fmt.Errorf("--duration: %v is below 0", c.Duration)
	}
	if c.Out == "-" {
		return errors.New("--out: segments are written beside the file, so it cannot be standard output")
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
	return `Records go to small files in FILE.parts, which become FILE at the end. After a collect that was killed,
mllb dataset info --repair FILE recovers all but the last of these.

The kernel counts failed migrations only while kernel.sched_schedstats is 1. collect sets it, and sets it back.
A collect that was killed leaves it at 1, which costs a little: sysctl kernel.sched_schedstats=0 turns it off.
A kernel without CONFIG_SCHEDSTATS cannot be recorded. mllbd check says what this host allows.

` + exitHelp("collect")
}

// Run records until it has enough or is ended.
func (c *collectCmd) Run(ctx context.Context, out output) error {
	signal.Ignore(unix.SIGTTIN, unix.SIGTTOU) // of stty tostop, in the background
	return collect.Run(ctx, collect.Options{
		Out: c.Out, Force: c.Force, Records: c.Records, Duration: c.Duration, JSON: c.LogForm == "json", CreatedBy: createdBy("collect"),
		Trace: trace.Options{AllDomains: c.AllDomains, Usable: c.Usable},
		Run:   dataset.Run{Load: c.Load, Tag: c.Label, Command: os.Args, Seed: c.Seed},
	}, out.stdout, out.stderr)
}
