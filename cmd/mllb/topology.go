// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/term"

	"mllb/topology"
)

// defaultWidth is how wide to draw where no terminal says.
const defaultWidth = 80

type topologyCmd struct {
	Desc *string `arg:"" optional:"" help:"Machine to show instead of this host: SOCKETSxCORESxTHREADS such as 2x14x2, or SOCKETSxCACHESxCORESxTHREADS."`
	JSON bool    `name:"json" help:"Print JSON instead of a picture."`
	Root string  `placeholder:"DIR" help:"Read DIR/sys instead of /sys."`
}

// Run shows a topology as a picture or as JSON.
func (c *topologyCmd) Run(out output) error {
	top, err := c.load()
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(top)
	} else {
		err = topology.Draw(out.stdout, top, width(out.stdout))
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
