// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mllb/bench"
)

type reportCmd struct {
	Dirs []string `arg:"" name:"dir" help:"Result directories of mllb bench."`
	JSON bool     `name:"json" help:"Print JSON instead of tables."`
	HTML string   `name:"html" placeholder:"FILE" help:"Also write the page, with several directories the page that compares them."`
}

// Help documents what flags cannot.
func (reportCmd) Help() string {
	return `With one directory: its report, made anew of its runs, also while they are still being made.
What mllbd latency --out DIR/latency.json wrote there becomes figure 4.
With several, of one machine or of many: each arm against the stock of its own directory, side by side.`
}

// drawn is what can be shown.
type drawn interface {
	Draw(w io.Writer) error
	HTML(w io.Writer) error
}

// Run reports.
func (c *reportCmd) Run(out output) error {
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
		if err := writePage(c.HTML, what.HTML); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if !c.JSON {
		return what.Draw(out.stdout)
	}
	enc := json.NewEncoder(out.stdout)
	enc.SetIndent("", " ")
	return enc.Encode(what)
}

// writePage writes the file, or leaves what was there.
func writePage(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".page-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone, once it has its name
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
