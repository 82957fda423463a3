// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
)

// TestTrainShards holds all that one call prints and writes against what a call prints
// and writes that gathers any number of shards.
func TestTrainShards(t *testing.T) {
	data := filepath.Join(t.TempDir(), "runs.parquet")
	if err := writeRuns(data, func(*rand.Rand, *features.Record) {}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ shared, outputs []string }{
		"cross-validation": {[]string{"--cv", "5"}, []string{"--out", "model.json", "--figures", "figures"}},
		"as JSON":          {[]string{"--cv", "5", "--class-weight", "balanced", "--scale"}, []string{"--json"}},
		"search":           {[]string{"--sweep", "trials", "--trials", "5", "--jobs", "1"}, []string{"--out", "model.json", "--json"}},
	} {
		t.Run(name, func(t *testing.T) {
			train := func(args ...string) string {
				var stdout bytes.Buffer
				args = slices.Concat([]string{"train", data, "--epochs", "3"}, c.shared, args)
				if err := run(t.Context(), args, &stdout, io.Discard); err != nil {
					t.Fatal(args, err)
				}
				return stdout.String()
			}
			t.Chdir(t.TempDir())
			want := map[string]string{"stdout": train(c.outputs...)}
			addFiles(t, want)
			if len(want) == 1 && name != "as JSON" || len(want["stdout"]) < 200 {
				t.Fatalf("one call made %q", want)
			}
			for _, n := range []int{1, 2, 3, 7} {
				t.Chdir(t.TempDir())
				shards := t.TempDir()
				for i := range n {
					train("--shards", shards, "--shard", fmt.Sprintf("%d/%d", i+1, n))
				}
				got := map[string]string{}
				if addFiles(t, got); len(got) > 0 {
					t.Errorf("shards made %q", got)
				}
				got["stdout"] = train(append(c.outputs, "--shards", shards)...)
				addFiles(t, got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%d shards (-one call +gathered):\n%s", n, diff)
				}
			}
		})
	}
}

// addFiles adds the files of the working directory by their names.
func addFiles(t *testing.T, to map[string]string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		to[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
