// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/term"

	"mllb/topology"
)

// defaultWidth is how wide to draw where no terminal says.
const defaultWidth = 80

type topologyCmd struct {
	Desc  *string `arg:"" optional:"" help:"Machine to show instead of this host: SOCKETSxCORESxTHREADS such as 2x14x2, or SOCKETSxCACHESxCORESxTHREADS."`
	JSON  bool    `name:"json" help:"Print JSON instead of a picture."`
	Root  string  `placeholder:"DIR" help:"Read DIR/sys instead of /sys."`
	Probe bool    `help:"Measure what CPUs share, and show where that differs from what the kernel says."`
	Out   string  `placeholder:"FILE" help:"Write what --probe measured to FILE: the machine profile that mllbd run --topology takes."`
	SVG   string  `name:"svg" placeholder:"FILE" help:"Draw the matrix of --probe into FILE, as SVG."`
	forceFlag
}

// Help documents what flags cannot.
func (topologyCmd) Help() string {
	return `--probe has all CPUs that it may use work, alone and beside others, and pass cache lines to each other. It
takes a second or two on a small host, up to 5 s at 64 CPUs and 30 s at 512, and changes nothing.
What other load disturbs is measured again, for three times as long at most, and then called
uncertain. A profile is of one machine, and of one boot if the CPUs change.`
}

// Run shows a topology as a picture or as JSON.
func (c *topologyCmd) Run(ctx context.Context, out output) error {
	if c.Probe {
		return c.probe(ctx, out)
	}
	if c.Out != "" || c.SVG != "" {
		return usagef("topology: --out and --svg need --probe")
	}
	top, err := c.load()
	if err != nil {
		return err
	}
	return c.show(out.stdout, top)
}

func (c *topologyCmd) show(w io.Writer, top *topology.Topology) (err error) {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		err = enc.Encode(top)
	} else {
		err = topology.Draw(w, top, width(w))
	}
	if err != nil {
		return fmt.Errorf("write topology: %w", err)
	}
	return nil
}

func (c *topologyCmd) load() (*topology.Topology, error) {
	switch {
	case c.Desc != nil && c.Root != "":
		return nil, usagef("topology: %q and --root exclude each other", *c.Desc)
	case c.Desc != nil:
		top, err := topology.Parse(*c.Desc)
		if err != nil {
			return nil, usageError{err}
		}
		return top, nil
	case c.Root != "":
		return topology.Read(c.Root)
	}
	return topology.Read("/")
}

// width is that of the terminal that w is, or the default.
func width(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return defaultWidth
}
