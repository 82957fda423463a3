// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"mllb/internal/namedfile"
	"mllb/learn/export"
	"mllb/mlp"
)

type exportCmd struct {
	Model  string `placeholder:"FILE" help:"Model to export. Default: the built-in one."`
	Header string `placeholder:"FILE" help:"Write a C header of integer weights, for the kernel and for BPF. - is standard output."`
	Golden string `placeholder:"FILE" help:"Write golden vectors as JSON: inputs, hidden layer and output that every implementation of the header must reproduce to the bit."`
	ONNX   string `name:"onnx" placeholder:"FILE" help:"Write the network in floating point as ONNX."`
	Kernel string `placeholder:"FILE" help:"Write the blob that a kernel with mllb's patches takes at /sys/kernel/debug/sched/mllb/model."`
	Cases  int    `default:"64" help:"Number of golden vectors (${default})."`
	Seed   uint64 `default:"1" help:"Random seed of the golden vectors (${default})."`
	forceFlag
}

// Run exports a model.
func (c *exportCmd) Run(ctx context.Context) error {
	if c.Header == "" && c.Golden == "" && c.ONNX == "" && c.Kernel == "" {
		return usagef("export: at least one of --header, --golden, --onnx, --kernel is required")
	}
	if c.Cases < 1 {
		return usagef("export: --cases %d is less than 1", c.Cases)
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	files := []struct {
		flag, path string
		write      func(io.Writer) error
	}{
		{"header", c.Header, func(w io.Writer) error { return export.Header(w, m) }},
		{"golden", c.Golden, func(w io.Writer) error {
			g, err := mlp.NewGolden(m, m.Provenance.Source, c.Cases, c.Seed)
			if err != nil {
				return err
			}
			return g.Write(w)
		}},
		{"onnx", c.ONNX, func(w io.Writer) error { return export.ONNX(w, m) }},
		{"kernel", c.Kernel, func(w io.Writer) error { return export.Kernel(w, m) }},
	}
	others := []string{c.Model}
	for _, f := range files {
		if err := namedfile.CheckNew(f.path, c.Force, others...); err != nil {
			return fmt.Errorf("--%s: %w", f.flag, err)
		}
		others = append(others, f.path)
	}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if err := namedfile.WriteNew(ctx, f.path, c.Force, f.write); err != nil {
			return fmt.Errorf("--%s: %w", f.flag, err)
		}
	}
	return nil
}

func loadModel(path string) (*mlp.Model, error) {
	if path == "" {
		return mlp.Default()
	}
	return mlp.LoadFile(path)
}
