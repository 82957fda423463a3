// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"mllb/bench"
	"mllb/internal/namedfile"
)

type reportCmd struct {
	Dirs []string `arg:"" name:"dir" help:"Result directories of mllb bench."`
	JSON bool     `name:"json" help:"Print JSON instead of tables."`
	HTML string   `name:"html" placeholder:"FILE" help:"Also write the report as an HTML page."`
	forceFlag
}

// Help documents what flags cannot.
func (reportCmd) Help() string {
	return `With one directory: its report, rebuilt from its runs, even while the benchmark is running.
What mllb latency --out DIR/latency.json wrote there becomes figure 4.
With several, from one machine or many: each arm compared with stock of its own directory, side by side.`
}

// drawn is what can be shown.
type drawn interface {
	Draw(w io.Writer) error
	HTML(w io.Writer) error
}

// Run reports.
func (c *reportCmd) Run(ctx context.Context, out output) error {
	if err := namedfile.CheckNew(c.HTML, c.Force); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	var reports []*bench.Report
	for _, dir := range c.Dirs {
		r, err := bench.Load(dir)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		reports = append(reports, r)
	}
	var what drawn = reports[0]
	if len(reports) > 1 {
		what = bench.Compare(reports)
	}
	if c.HTML != "" {
		if err := namedfile.WriteNew(ctx, c.HTML, c.Force, what.HTML); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if !c.JSON {
		return what.Draw(out.stdout)
	}
	enc := json.NewEncoder(out.stdout)
	enc.SetIndent("", " ")
	return enc.Encode(what)
}
