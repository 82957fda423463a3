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

// TestEvalScripts are sessions with two samples of package dataset, and with
// hard.parquet, whose records the locality rule did not decide.
func TestEvalScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/eval", UpdateScripts: *update, RequireExplicitExec: true, Condition: condition,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"a.parquet", "newer.parquet"} {
				b, err := os.ReadFile(filepath.Join("../../learn/dataset/testdata", name))
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), b, 0o644); err != nil {
					return err
				}
			}
			return hard(filepath.Join(env.WorkDir, "hard.parquet"))
		},
	})
}

func hard(path string) error {
	w, err := dataset.Create(path, dataset.Meta{Runs: []dataset.Run{{ID: "hard"}}})
	if err != nil {
		return err
	}
	if err := w.Write([]features.Record{{Condition: features.OnSourceCPU}}); err != nil {
		return err
	}
	return w.Close()
}
