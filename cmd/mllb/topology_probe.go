// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/term"

	"mllb/internal/namedfile"
	"mllb/internal/progress"
	"mllb/topology"
	"mllb/topology/probe"
)

// probe measures this host, shows what it found and writes it.
func (c *topologyCmd) probe(ctx context.Context, out output) error {
	if c.Desc != nil || c.Root != "" {
		return usagef("topology: --probe measures this host: no other machine and no --root")
	}
	for _, file := range []string{c.Out, c.SVG} {
		if file == "" {
			continue
		}
		if err := namedfile.CheckNew(file, c.Force); err != nil {
			return fmt.Errorf("topology: %w", err)
		}
	}
	if err := namedfile.Distinct(c.Out, c.SVG); c.Out != "" && err != nil {
		return fmt.Errorf("topology: %w", err)
	}
	p, told, err := probeHost(ctx, out.stderr)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if c.Out != "" {
		if err := namedfile.WriteNew(ctx, c.Out, c.Force, p.Write); err != nil {
			return fmt.Errorf("write machine profile: %w", err)
		}
	}
	if c.SVG != "" {
		if err := namedfile.WriteNew(ctx, c.SVG, c.Force, func(w io.Writer) error { return writeMatrix(w, p) }); err != nil {
			return fmt.Errorf("write matrix: %w", err)
		}
	}
	if !c.JSON {
		if err := describe(out.stdout, p, told); err != nil {
			return fmt.Errorf("write topology: %w", err)
		}
	}
	return c.show(out.stdout, p.Over(told))
}

// probeHost measures this host.
func probeHost(ctx context.Context, stderr io.Writer) (*probe.Profile, *topology.Topology, error) {
	told, err := topology.Read("/")
	if err != nil {
		return nil, nil, err
	}
	id, err := probe.Identify("/", told)
	if err != nil {
		return nil, nil, err
	}
	live, err := probe.OpenLive()
	if err != nil {
		return nil, nil, err
	}
	defer live.Close()
	bar := progress.New(stderr, "mllb topology")
	tell := func(share float64) { bar.Set(progress.State{Share: share, Doing: "probing"}) }
	p, err := probe.Run(ctx, live, probe.Options{Told: told, Seed: rand.Uint64(), Progress: tell})
	bar.End()
	if errors.Is(err, context.Canceled) {
		err = interrupted{err}
	}
	if err != nil {
		return nil, nil, err
	}
	p.Stamp(id, time.Now().UTC().Format(time.RFC3339), createdBy("topology"))
	return p, told, nil
}

// describe prints the difference and the matrix.
func describe(w io.Writer, p *probe.Profile, told *topology.Topology) error {
	for _, line := range p.Words(told) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := p.Draw(w, width(w), coloured(w)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// coloured says whether to write colours: to a terminal, unless NO_COLOR is set
// (https://no-color.org).
func coloured(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	kind := os.Getenv("TERM")
	return ok && os.Getenv("NO_COLOR") == "" && kind != "" && kind != "dumb" && term.IsTerminal(int(f.Fd()))
}
