// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mllb/dataset"
	"mllb/features"
)

// TestDatasetScripts are sessions with the samples of package dataset, and with
// unfinished.parquet, whose collection was killed.
func TestDatasetScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/dataset", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			samples, err := filepath.Glob("../../dataset/testdata/*.parquet")
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
