// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mllb/features"
	"mllb/learn/dataset"
)

// TestDatasetScripts are sessions with the samples of package dataset, and with
// unfinished.parquet, whose collection was killed.
func TestDatasetScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/dataset", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			samples, err := filepath.Glob("../../learn/dataset/testdata/*.parquet")
			if err != nil {
				return err
			}
			for _, from := range samples {
				b, err := os.ReadFile(from)
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(env.WorkDir, filepath.Base(from)), b, 0o644); err != nil {
					return err
				}
			}
			return unfinished(filepath.Join(env.WorkDir, "unfinished.parquet"))
		},
	})
}

// unfinished leaves at path what a collector leaves that is killed after it
// wrote two segments of three rows.
func unfinished(path string) error {
	tmp := path + ".copy"
	w, err := dataset.Create(path, dataset.Meta{Runs: []dataset.Run{{ID: "u", Kernel: "6.12.48+deb13-amd64"}}})
	if err != nil {
		return err
	}
	for range 2 {
		if err := w.Write(make([]features.Record, 3)); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err := os.CopyFS(tmp, os.DirFS(path+".parts")); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Rename(tmp, path+".parts")
}

// TestExplain plants a tie of NUMA weights on a cache-hot task: later kernels
// refuse it where 6.12 does not.
func TestExplain(t *testing.T) {
	tie := dataset.Row{Run: &dataset.Run{Kernel: "7.2.1"}, Record: features.Record{Decision: features.Decision{
		SrcNode: 0, DstNode: 1, Domain: features.SDNUMA, Fair: true, NUMABalancing: true, HasFaults: true,
		PreferredNode: features.NoNode, Delta: 1, MigrationCost: 500, TaskFaults: []uint64{7, 7}, TaskTotalFaults: 14,
	}}}
	if got := explain(&tie); got == "" {
		t.Error("a tie is not explained")
	}
	old := tie
	old.Run = &dataset.Run{Kernel: "6.12.1"}
	worse := tie
	worse.TaskFaults = []uint64{5, 9}
	for name, r := range map[string]*dataset.Row{"6.12": &old, "no tie": &worse} {
		if got := explain(r); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
