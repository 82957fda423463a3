// SPDX-License-Identifier: Apache-2.0

package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/mlp"
)

const shared = 5 // folds, or trials

// inShards has each shard leave its files in a new directory.
func inShards(t *testing.T, cfg Config, src *Source, of int) Shards {
	t.Helper()
	s := Shards{Dir: t.TempDir(), Program: "test"}
	for i := range of {
		shard := Shard{i + 1, of}
		folds, err := s.CrossValidate(t.Context(), cfg, src, shared, shard, false, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		trials, err := s.Sweep(t.Context(), cfg, src, Search{Trials: shared, Workers: 2}, shard, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := shard.Share(shared); folds != want || trials != want {
			t.Errorf("shard %s: %d folds, %d trials, want %d", shard, folds, trials, want)
		}
	}
	return s
}

// TestShards holds what any number of shards found against what one call finds.
func TestShards(t *testing.T) {
	src, cfg := source(t, 4, 60), config(ByRun)
	cfg.Balanced = true
	folds, err := CrossValidate(t.Context(), cfg, src, shared, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	search := Search{Path: filepath.Join(t.TempDir(), "trials"), Trials: shared, Workers: 1}
	trials, err := Sweep(t.Context(), cfg, src, search, nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := read(t, search.Path)
	for _, of := range []int{1, 2, 3, 7} {
		s := inShards(t, cfg, src, of)
		got, err := s.GatherFolds(cfg, src, shared)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(folds, got, cmpopts.IgnoreFields(Result{}, "Model")); diff != "" {
			t.Errorf("folds of %d shards (-one call +gathered):\n%s", of, diff)
		}
		search.Path = filepath.Join(s.Dir, "trials")
		if search.Known, err = s.GatherTrials(cfg, src, shared); err != nil {
			t.Fatal(err)
		}
		again, err := Sweep(t.Context(), cfg, src, search, func(job int, _ mlp.Epoch, _ bool) { t.Errorf("trial %d is made again", job) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(trials, again); diff != "" || read(t, search.Path) != kept {
			t.Errorf("trials of %d shards (-one call +gathered):\n%s\n%s", of, diff, read(t, search.Path))
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGatherRefuses changes what two shards left, or what is asked for.
func TestGatherRefuses(t *testing.T) {
	src := source(t, 4, 60)
	replace := func(file, old, new string) func(*testing.T, *Shards, *Config) {
		return func(t *testing.T, s *Shards, _ *Config) {
			path := filepath.Join(s.Dir, file)
			text := read(t, path)
			if !strings.Contains(text, old) {
				t.Fatalf("%s has no %s", file, old)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(text, old, new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename := func(from, to string) func(*testing.T, *Shards, *Config) {
		return func(t *testing.T, s *Shards, _ *Config) {
			if err := os.Rename(filepath.Join(s.Dir, from), filepath.Join(s.Dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const folds, trials = "cv-2-of-2.json", "sweep-2-of-2.jsonl"
	for _, c := range []struct {
		name, folds, trials string // errors
		change              func(*testing.T, *Shards, *Config)
	}{
		{"nothing", "", "", func(*testing.T, *Shards, *Config) {}},
		{"no directory", "no such file", "no such file", func(_ *testing.T, s *Shards, _ *Config) { s.Dir += "/no" }},
		{"another directory", "there is no cv-*-of-*.json", "there is no sweep-*-of-*.jsonl", func(t *testing.T, s *Shards, _ *Config) { s.Dir = t.TempDir() }},
		{"another seed", `cv-1-of-2.json: a shard of other data or settings: seed 1, here 2`, "line 1: trials of other data or settings (seed 1, here 2)",
			func(_ *testing.T, _ *Shards, c *Config) { c.Seed = 2 }},
		{"weights", "balanced false, here true", "class_weights [1,1], here [", func(_ *testing.T, _ *Shards, c *Config) { c.Balanced = true }},
		{"another version", `program "test `, `program "test `, func(_ *testing.T, s *Shards, _ *Config) { s.Program = "test2" }},
		{"two numbers of shards", "there are files of 2 shards and of 3", "", rename(folds, "cv-2-of-3.json")},
		{"a shard is missing", "shards are missing: 2/2", "", rename(folds, folds+"x")},
		{"trials are missing", "", "shards are missing: 1/2", rename("sweep-1-of-2.jsonl", "x")},
		{"another shard", `shard "1/2", here "2/2"`, "", replace(folds, `"shard":"2/2"`, `"shard":"1/2"`)},
		{"a number of no shard", "shards are missing: 2/2", "", rename(folds, "cv-3-of-2.json")},
		{"other folds", "number 2 is not the fold of seed 4", "", replace(folds, `{"Seed":4`, `{"Seed":5`)},
		{"a fold too many", "cv-2-of-2.json: 3 folds, want 2", "", replace(folds, `"folds":[`, `"folds":[null,`)},
		{"cut off", "not a shard of a cross-validation: unexpected EOF", "", replace(folds, "]}\n", "")},
		{"text of a terminal", `dataset "\u009b`, "", replace(folds, `"dataset":"`, "\"dataset\":\"\u009b")},
		{"trial cut off", "", "trial 3 is missing: go on with shard 2/2", replace(trials, `{"trial":3`, `{"trial":13`)},
		{"another file", "", "line 1: not a file of trials", replace(trials, `"sweep"`, `"swept"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(ByRun)
			cfg.Epochs = 1
			s := inShards(t, cfg, src, 2)
			c.change(t, &s, &cfg)
			_, err := s.GatherFolds(cfg, src, shared)
			refused(t, err, c.folds)
			_, err = s.GatherTrials(cfg, src, shared)
			refused(t, err, c.trials)
		})
	}
	s := inShards(t, config(ByRun), src, 1)
	_, err := s.GatherFolds(config(ByRun), src, shared+1)
	refused(t, err, "cv 5, here 6")
	_, err = s.CrossValidate(t.Context(), config(ByRun), src, shared, whole, false, 0, nil)
	refused(t, err, "already exists; --force replaces it")
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestShardText(t *testing.T) {
	for text, want := range map[string]Shard{"1/1": {1, 1}, "2/3": {2, 3}, "0/3": {}, "4/3": {}, "1": {}, "1/": {}, "/1": {}, "1/2/3": {}, "x/y": {}, "": {}} {
		var s Shard
		if err := s.UnmarshalText([]byte(text)); (err == nil) != (want != Shard{}) {
			t.Errorf("%q: error %v", text, err)
		} else if err == nil && (s != want || s.String() != text) {
			t.Errorf("%q is %v", text, s)
		}
	}
}
