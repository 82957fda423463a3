// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"

	"mllb/export"
	"mllb/mlp"
)

type exportCmd struct {
	Model  string `placeholder:"FILE" help:"The model; the built-in one if not given."`
	Header string `placeholder:"FILE" help:"Write a C header of integer weights, for the kernel and for BPF. - is standard output."`
	Golden string `placeholder:"FILE" help:"Write golden vectors as JSON: inputs, hidden layer and output that any implementation of the header has to give to the bit."`
	ONNX   string `name:"onnx" placeholder:"FILE" help:"Write the network in floating point as ONNX."`
	Kernel string `placeholder:"FILE" help:"Write the blob that a kernel with mllb's patches takes at /sys/kernel/debug/sched/mllb/model."`
	Cases  int    `default:"64" help:"Golden vectors (${default})."`
	Seed   uint64 `default:"1" help:"Of the golden vectors (${default})."`
}

// Run exports a model.
func (c *exportCmd) Run(_ context.Context, out output) error {
	if c.Header == "" && c.Golden == "" && c.ONNX == "" && c.Kernel == "" {
		return usagef("export: give --header, --golden, --onnx or --kernel, or nothing comes of it")
	}
	if c.Cases < 1 {
		return usagef("export: --cases %d is less than 1", c.Cases)
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{c.Header, func(w io.Writer) error { return export.Header(w, m) }},
		{c.Golden, func(w io.Writer) error {
			g, err := mlp.NewGolden(m, m.Provenance.Source, c.Cases, c.Seed)
			if err != nil {
				return err
			}
			return g.Write(w)
		}},
		{c.ONNX, func(w io.Writer) error { return export.ONNX(w, m) }},
		{c.Kernel, func(w io.Writer) error { return export.Kernel(w, m) }},
	} {
		if f.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return err
		}
		if f.path == "-" {
			_, err = out.stdout.Write(b.Bytes())
		} else {
			err = writeFile(f.path, b.Bytes())
		}
		if err != nil {
			return err
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
