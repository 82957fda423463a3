// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"mllb/internal/browser"
	"mllb/learn/train"
	"mllb/mlp"
	"mllb/topology"
	"mllb/topology/probe"
)

// The figures that are files of their own, those of docs too, are as readable on a phone as
// on a desk, in both themes.
func TestFigures(t *testing.T) {
	const cpus = 56
	var all []int
	p := &probe.Profile{}
	for a := range cpus {
		all = append(all, a)
		for b := a + 1; b < cpus; b++ {
			p.Pairs = append(p.Pairs, probe.Pair{A: a, B: b, Handoff: probe.Interval{Median: 40 * math.Exp2(float64((a^b)/8))}})
		}
	}
	p.Probed = topology.NewCPUSet(all...)
	var matrix bytes.Buffer
	if err := writeMatrix(&matrix, p); err != nil {
		t.Fatal(err)
	}
	var history mlp.History
	history.Batches = 20_000
	for e := range 30 {
		history.Steps = append(history.Steps, mlp.Step{Batch: e * history.Batches, Loss: math.Exp(-float64(e) / 4)})
		history.Epochs = append(history.Epochs, mlp.Epoch{Number: e + 1, Validation: mlp.Evaluation{Loss: 1.1 * math.Exp(-float64(e)/4)}})
	}
	dir := t.TempDir()
	if err := train.Figure(t.Context(), dir, false, []*train.Result{{History: history}}); err != nil {
		t.Fatal(err)
	}
	pages := []browser.Page{{Name: "matrix.svg", Content: matrix.Bytes(), Figures: 1, Least: 9}}
	files, err := filepath.Glob("../../docs/*.svg")
	if err != nil || len(files) < 4 {
		t.Fatalf("figures of docs: %q, %v", files, err)
	}
	for _, name := range append(files, filepath.Join(dir, "loss.svg")) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page := browser.Page{Name: filepath.Base(name), Content: b, Figures: 1, Least: 9}
		if page.Name == "view.svg" {
			page.Least = 6 // 83 columns of a terminal
		}
		pages = append(pages, page)
	}
	for _, page := range pages {
		if page.Name == "matrix.svg" || page.Name == "loss.svg" {
			browser.Inside(t, page.Name, page.Content)
		}
	}
	browser.Look(t, pages...)
}
